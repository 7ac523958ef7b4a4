"""Published figures, to set beside one's own: in percent, MME in points.

Of LLaVA (arXiv 2304.08485, tables 4 to 8) and LLaVA-1.5 (2310.03744, tables 3 and 4).
"""

from collections.abc import Mapping, Sequence

# What a benchmark calls the figure; "" is its overall one.
Figures = Mapping[str, float]


def _row(names: Sequence[str], values: str) -> Figures:
    return dict(zip(names, map(float, values.split()), strict=True))


_SCIENCEQA = ("NAT", "SOC", "LAN", "TXT", "IMG", "NO", "G1-6", "G7-12", "")
_LLAVA_BENCH = ("conv", "detail", "complex", "")

# benchmark -> model -> figures
PUBLISHED: Mapping[str, Mapping[str, Figures]] = {
    "vqav2": {"LLaVA-1.5-7B": {"": 78.5}, "LLaVA-1.5-13B": {"": 80.0}},
    "gqa": {"LLaVA-1.5-7B": {"": 62.0}, "LLaVA-1.5-13B": {"": 63.3}},
    "vizwiz": {"LLaVA-1.5-7B": {"": 50.0}, "LLaVA-1.5-13B": {"": 53.6}},
    "scienceqa": {
        "LLaVA-1.5-7B": {"IMG": 66.8},
        "LLaVA-1.5-13B": {"IMG": 71.6},
        "LLaVA": _row(_SCIENCEQA, "90.36 95.95 88.00 89.49 88.00 90.66 90.93 90.90 90.92"),
        "LLaVA with GPT-4 as judge": _row(
            _SCIENCEQA, "91.56 96.74 91.09 90.62 88.99 93.52 92.73 92.16 92.53"
        ),
        "GPT-3 with chain of thought": _row(
            _SCIENCEQA, "75.44 70.87 78.09 74.68 67.43 79.93 78.23 69.68 75.17"
        ),
        "LLaVA complementing GPT-4": {"": 90.97},
        "GPT-4": {"": 82.69},
        "LLaVA, last layer's features": {"": 89.96},
        "LLaVA, answer first": {"": 89.77},
        "LLaVA, no first stage": {"": 85.81},
        "LLaVA-7B": {"": 89.84},
    },
    "textvqa": {"LLaVA-1.5-7B": {"": 58.2}, "LLaVA-1.5-13B": {"": 61.3}},
    "pope": {"LLaVA-1.5-7B": {"": 85.9}, "LLaVA-1.5-13B": {"": 85.9}},
    "mme": {"LLaVA-1.5-7B": {"": 1510.7}, "LLaVA-1.5-13B": {"": 1531.3}},
    "mmbench": {"LLaVA-1.5-7B": {"": 64.3}, "LLaVA-1.5-13B": {"": 67.7}},
    "mmbench_cn": {"LLaVA-1.5-7B": {"": 58.3}, "LLaVA-1.5-13B": {"": 63.6}},
    "seed_bench": {"LLaVA-1.5-7B": {"": 58.6}, "LLaVA-1.5-13B": {"": 61.6}},
    "mm_vet": {"LLaVA-1.5-7B": {"": 31.1}, "LLaVA-1.5-13B": {"": 36.1}},
    "llava_bench_wild": {
        "LLaVA-1.5-7B": {"": 65.4},
        "LLaVA-1.5-13B": {"": 72.5},
        "LLaVA": _row(_LLAVA_BENCH, "57.3 52.5 81.7 67.3"),
        "BLIP-2": _row(_LLAVA_BENCH, "54.6 29.1 32.9 38.1"),
        "OpenFlamingo": _row(_LLAVA_BENCH, "19.3 19.0 19.1 19.1"),
    },
    "llava_bench_coco": {
        "LLaVA": _row(_LLAVA_BENCH, "83.1 75.3 96.5 85.1"),
        "LLaVA, detail and complex": _row(_LLAVA_BENCH, "81.5 73.3 90.8 81.9"),
        "LLaVA, conv with 5% detail and 10% complex": _row(_LLAVA_BENCH, "81.0 68.4 91.5 80.5"),
        "LLaVA, conv": _row(_LLAVA_BENCH, "76.5 59.8 84.9 73.8"),
        "LLaVA, no instruction tuning": _row(_LLAVA_BENCH, "22.0 24.0 18.5 21.5"),
    },
}
