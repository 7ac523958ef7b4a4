"""The tables: how each project names and stores the parameters that we have.

Names were read off checkpoints that transformers 4.57 and 5.23, LLaVA 1.2 and llama.cpp write.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from llava_jax.errors import UserError
from llava_jax.models.language import LanguageConfig
from llava_jax.models.llava import LlavaConfig
from llava_jax.models.projector import ProjectorConfig
from llava_jax.models.vision import VisionConfig
from llava_jax.weights.rules import (
    AS_IS,
    PATCH_CONVOLUTION,
    TRANSPOSED,
    Form,
    Rule,
    Table,
    dense,
    interleaved_heads,
    layer_norm,
    leading_ones,
)

_CLIP_BLOCKS = (
    *layer_norm("blocks_{}/norm1", "encoder.layers.{}.layer_norm1"),
    *dense("blocks_{}/attention/query", "encoder.layers.{}.self_attn.q_proj"),
    *dense("blocks_{}/attention/key", "encoder.layers.{}.self_attn.k_proj"),
    *dense("blocks_{}/attention/value", "encoder.layers.{}.self_attn.v_proj"),
    *dense("blocks_{}/attention/out", "encoder.layers.{}.self_attn.out_proj"),
    *layer_norm("blocks_{}/norm2", "encoder.layers.{}.layer_norm2"),
    *dense("blocks_{}/mlp/up", "encoder.layers.{}.mlp.fc1"),
    *dense("blocks_{}/mlp/down", "encoder.layers.{}.mlp.fc2"),
)

_DINOV2 = (
    Rule("patch_embed/kernel", "embeddings.patch_embeddings.projection.weight", PATCH_CONVOLUTION),
    Rule("patch_embed/bias", "embeddings.patch_embeddings.projection.bias"),
    Rule("class_token", "embeddings.cls_token", leading_ones(2)),
    Rule("position_embedding", "embeddings.position_embeddings", leading_ones(1)),
    *layer_norm("blocks_{}/norm1", "encoder.layer.{}.norm1"),
    *dense("blocks_{}/attention/query", "encoder.layer.{}.attention.attention.query"),
    *dense("blocks_{}/attention/key", "encoder.layer.{}.attention.attention.key"),
    *dense("blocks_{}/attention/value", "encoder.layer.{}.attention.attention.value"),
    *dense("blocks_{}/attention/out", "encoder.layer.{}.attention.output.dense"),
    Rule("blocks_{}/layer_scale1", "encoder.layer.{}.layer_scale1.lambda1"),
    *layer_norm("blocks_{}/norm2", "encoder.layer.{}.norm2"),
    *dense("blocks_{}/mlp/up", "encoder.layer.{}.mlp.fc1"),
    *dense("blocks_{}/mlp/down", "encoder.layer.{}.mlp.fc2"),
    Rule("blocks_{}/layer_scale2", "encoder.layer.{}.layer_scale2.lambda1"),
)


def _clip_rules(config: VisionConfig) -> list[Rule]:
    """CLIP and SigLIP: the same names, each with parts that the other lacks."""
    rules = [
        *_CLIP_BLOCKS,
        Rule("patch_embed/kernel", "embeddings.patch_embedding.weight", PATCH_CONVOLUTION),
        Rule("position_embedding", "embeddings.position_embedding.weight"),
    ]
    if config.patch_bias:
        rules.append(Rule("patch_embed/bias", "embeddings.patch_embedding.bias"))
    if config.class_token:
        rules.append(Rule("class_token", "embeddings.class_embedding"))
    if config.pre_norm:
        rules.extend(layer_norm("pre_norm", "pre_layrnorm"))
    return rules


def vision_table(config: VisionConfig) -> Table:
    """Our vision tower <-> CLIPVisionModel, SiglipVisionModel or Dinov2Model of transformers.

    Carried: blocks after the selected layer, the final norm where it is not applied, SigLIP's
    pooling head, DINOv2's mask token, position buffers.
    """
    if config.layer_scale:
        rules, layer, final = list(_DINOV2), r"encoder\.layer", "layernorm"
        carried = [r"embeddings\.mask_token"]
    else:
        rules, layer, final = _clip_rules(config), r"encoder\.layers", "post_layernorm"
        carried = [r"embeddings\.position_ids", r"head\..*"]
    if config.post_norm:
        rules.extend(layer_norm("post_norm", final))
    else:
        carried.append(rf"{final}\.(weight|bias)")
    unread = "|".join(str(i) for i in range(config.blocks, config.depth))
    if unread:
        carried.append(rf"{layer}\.({unread})\..*")
    return Table.of(rules, config.blocks, tuple(carried))


def language_table(
    config: LanguageConfig, body: str = "model.", head: str = "lm_head.weight"
) -> Table:
    """Our decoder <-> LlamaForCausalLM. `body` stands before `layers`, `head` is the whole name."""
    layer = body + "layers.{}."
    rules = [
        Rule("embed/embedding", body + "embed_tokens.weight"),
        Rule("norm/scale", body + "norm.weight"),
        Rule("layers_{}/attention_norm/scale", layer + "input_layernorm.weight"),
        Rule("layers_{}/mlp_norm/scale", layer + "post_attention_layernorm.weight"),
        *dense("layers_{}/attention/query", layer + "self_attn.q_proj", bias=False),
        *dense("layers_{}/attention/key", layer + "self_attn.k_proj", bias=False),
        *dense("layers_{}/attention/value", layer + "self_attn.v_proj", bias=False),
        *dense("layers_{}/attention/out", layer + "self_attn.o_proj", bias=False),
        *dense("layers_{}/mlp/gate", layer + "mlp.gate_proj", bias=False),
        *dense("layers_{}/mlp/up", layer + "mlp.up_proj", bias=False),
        *dense("layers_{}/mlp/down", layer + "mlp.down_proj", bias=False),
    ]
    carried = [r".*\.rotary_emb\.inv_freq"]
    if config.tied_head:
        # Some files write the embedding twice.
        carried.append(head.replace(".", r"\."))
    else:
        rules.append(Rule("lm_head/kernel", head, TRANSPOSED))
    return Table.of(rules, config.depth, tuple(carried))


def gguf_table(config: LanguageConfig) -> Table:
    """Our decoder <-> the `llama` architecture of GGUF files, whose rotary pairs are neighbours."""

    def kernel(ours: str, theirs: str, form: Form = TRANSPOSED) -> Rule:
        return Rule(f"layers_{{}}/{ours}/kernel", f"blk.{{}}.{theirs}.weight", form)

    rules = [
        Rule("embed/embedding", "token_embd.weight", AS_IS),
        Rule("norm/scale", "output_norm.weight"),
        Rule("layers_{}/attention_norm/scale", "blk.{}.attn_norm.weight"),
        Rule("layers_{}/mlp_norm/scale", "blk.{}.ffn_norm.weight"),
        kernel("attention/query", "attn_q", interleaved_heads(config.heads)),
        kernel("attention/key", "attn_k", interleaved_heads(config.kv_heads)),
        kernel("attention/value", "attn_v"),
        kernel("attention/out", "attn_output"),
        kernel("mlp/gate", "ffn_gate"),
        kernel("mlp/up", "ffn_up"),
        kernel("mlp/down", "ffn_down"),
    ]
    if not config.tied_head:
        rules.append(Rule("lm_head/kernel", "output.weight", TRANSPOSED))
    return Table.of(rules, config.depth, (r"rope_freqs\.weight",))


@dataclass(frozen=True)
class Dialect:
    """Where a LLaVA checkpoint keeps its three networks.

    vision, body: what stands before the tower's and the decoder's names. head: the name of the
    decoder's head. projector: what all its names begin with.
    """

    name: str
    vision: str
    body: str
    head: str
    projector: str

    def dense_names(self, config: ProjectorConfig) -> list[str]:
        """Names of the projector's linear layers."""
        if self.name != "original":
            return [f"{self.projector}linear_{i + 1}" for i in range(config.depth)]
        if config.kind == "linear":
            return [self.projector]
        # A torch.nn.Sequential in which every other module is a GELU.
        return [f"{self.projector}.{2 * i}" for i in range(config.depth)]

    def projector_table(self, config: ProjectorConfig) -> Table:
        """Our projector <-> this dialect's."""
        names = enumerate(self.dense_names(config))
        return Table.of([rule for i, name in names for rule in dense(f"dense_{i}", name)], 0)

    def newline_table(self, config: LlavaConfig) -> Table:
        """The end of a row of image features; the original's files may hold one unused."""
        inside = "model." if self.projector.startswith("model.") else ""
        if config.has_newline:
            return Table.of([Rule("image_newline", inside + "image_newline")], 0)
        return Table({}, (r"model\.image_newline",) if self.name == "original" else ())

    def table(self, config: LlavaConfig) -> Table:
        """Our whole model <-> this dialect."""
        return (
            vision_table(config.vision).under("vision/", self.vision)
            | self.projector_table(config.projector).under("projector/", "")
            | self.newline_table(config)
            | language_table(config.language, self.body, self.head).under("language/", "")
        )

    def fits(self, names: Iterable[str]) -> bool:
        """Whether tensors of these names are in this dialect."""
        names = list(names)

        def has(prefix: str) -> bool:
            return any(name.startswith(prefix) for name in names)

        tower = has(self.vision + "encoder.layers.") or self.name == "original"
        return tower and has(self.body + "layers.") and has(self.projector)


HUGGING_FACE = Dialect(
    "transformers 4 on disk",
    "vision_tower.vision_model.",
    "language_model.model.",
    "language_model.lm_head.weight",
    "multi_modal_projector.",
)
"""The one that is written: transformers 4 and 5 both read it."""

ORIGINAL = Dialect(
    "original",
    "model.vision_tower.vision_tower.vision_model.",
    "model.",
    "lm_head.weight",
    "model.mm_projector",
)

DIALECTS = (
    HUGGING_FACE,
    Dialect(
        "transformers 5 on disk",
        "vision_tower.",
        "language_model.model.",
        "language_model.lm_head.weight",
        "multi_modal_projector.",
    ),
    Dialect(
        "transformers 4 in memory",
        "model.vision_tower.vision_model.",
        "model.language_model.",
        "lm_head.weight",
        "model.multi_modal_projector.",
    ),
    Dialect(
        "transformers 5 in memory",
        "model.vision_tower.",
        "model.language_model.",
        "lm_head.weight",
        "model.multi_modal_projector.",
    ),
    ORIGINAL,
)


def recognise(names: Iterable[str], where: str) -> Dialect:
    """The dialect of a LLaVA checkpoint, told by the names of its tensors alone."""
    names = list(names)
    for dialect in DIALECTS:
        if dialect.fits(names):
            return dialect
    raise UserError(
        f"{where} is no LLaVA checkpoint in a known naming: its tensors are called "
        f"{', '.join(sorted(names)[:3])} ...; known are {', '.join(d.name for d in DIALECTS)}"
    )
