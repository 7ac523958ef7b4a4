"""A flight check on the screen, as JSON and as a picture."""

from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from rich.console import Console
from rich.table import Table

from llava_jax.tpu.report import Memory, Report, Setting, Speed, Work

_FREE, _ARGUMENTS, _TEMPORARIES, _LATE = "#d5d9e2", "#3b6fb6", "#7fb069", "#cc3344"


def present(report: Report, console: Console, out: Path | None) -> None:
    """Prints the table; with `out` also writes the JSON there and a PNG beside it."""
    console.print(_table(report))
    for warning in report.warnings:
        console.print(f"[bold red]warning:[/] {warning}")
    if out is not None:
        report.write(out)
        draw(report, out.with_suffix(".png"))


def does_not_fit(report: Report) -> str:
    """One sentence: by how much a recipe is too large."""
    setting, memory = report.setting, report.memory
    return (
        f"{setting.recipe} {setting.stage} does not fit {setting.topology} with {what(setting)}: "
        f"at least {memory.over:.2f} GiB are missing on each chip of {memory.usable:.2f}"
    )


def what(setting: Setting) -> str:
    """What may be changed to make a recipe fit."""
    micro = f" in {setting.accumulate} micro-batches" if setting.accumulate > 1 else ""
    return f"{setting.axes}, remat {setting.remat}, {setting.batch} rows{micro}"


def _table(report: Report) -> Table:
    setting = report.setting
    table = Table(
        title=f"{setting.recipe} · {setting.stage} · {setting.topology} ({setting.chips} chips)",
        show_header=False,
        caption="times are modelled: the compiled program and public chip figures",
        title_justify="left",
        caption_justify="left",
    )
    table.add_column(style="bold")
    table.add_column()
    for name, value in _rows(report):
        table.add_row(name, value)
    return table


def _rows(report: Report) -> list[tuple[str, str]]:
    setting = report.setting
    rows = [
        ("program", f"{what(setting)}, {setting.length} tokens and {setting.images} image(s) each"),
        ("HBM", _memory_row(report.memory, report.fits)),
    ]
    if report.work:
        rows += _work_rows(report.work, report)
    if report.speed:
        rows += _speed_rows(report.speed, setting.chips)
    return rows


def _memory_row(memory: Memory, fits: bool) -> str:
    if not fits:
        return f"[red]does not fit[/]: at least {memory.over:.2f} GiB are missing"
    return (
        f"fits: peak {memory.peak:.2f} of {memory.usable:.2f} GiB "
        f"(arguments {memory.arguments:.2f}, temporaries {memory.temporaries:.2f})"
    )


def _work_rows(work: Work, report: Report) -> list[tuple[str, str]]:
    rows = [
        (
            "FLOPs a step",
            f"model {_flops(work.model_tflops)} (+ {_flops(work.vision_tflops)} tower and "
            f"projector), program {_flops(work.program_tflops)} (products "
            f"{_flops(work.matrix_tflops)}, attention kernels {_flops(work.kernel_tflops)}): "
            f"{report.recompute_overhead:.2f}x",
        ),
        ("HBM traffic", f"{_size(work.hbm_gib)} a step, at least"),
    ]
    rows += [
        (kind, f"{_size(t.gib)} in {t.count}, {t.async_fraction:.0%} while the chip computes")
        for kind, t in work.collectives.items()
    ]
    if work.host_gib:
        rows.append(("host's memory", f"{work.host_gib:.2f} GiB there and back"))
    if work.across_slices_gib:
        rows.append(("between slices", f"{work.across_slices_gib:.2f} GiB of these"))
    return rows


def _speed_rows(speed: Speed, chips: int) -> list[tuple[str, str]]:
    step = speed.step_seconds
    rows = [
        (
            "step",
            f"{_time(step.total)}: compute {_time(step.compute)}, HBM {_time(step.hbm)}, network "
            f"{_time(step.ici)} of which {_time(step.ici_exposed)} on top",
        ),
        ("limited by", speed.limited_by),
        ("MFU", f"{speed.mfu:.1%}"),
        (
            "throughput",
            f"{speed.tokens_per_second_per_chip * chips:,.0f} tokens/s, "
            f"{speed.tokens_per_second_per_chip:,.0f} a chip, "
            f"{speed.images_per_second:,.0f} images/s",
        ),
    ]
    if speed.hours is not None and speed.chip_hours is not None:
        rows.append(
            (
                "stage",
                f"{speed.steps:,} steps: {speed.hours:.2f} hours, {speed.chip_hours:,.0f} "
                "chip-hours",
            )
        )
    return rows


def _flops(tera: float) -> str:
    return f"{tera:.1f} T" if tera >= 1 else f"{1000 * tera:.1f} G"


def _size(gib: float) -> str:
    return f"{gib:.2f} GiB" if gib >= 0.01 else f"{1024 * gib:.2f} MiB"


def _time(seconds: float) -> str:
    return f"{seconds:.3f} s" if seconds >= 0.1 else f"{1000 * seconds:.2f} ms"


def draw(report: Report, path: Path) -> None:
    """Memory, step time and network of one check, as a PNG."""
    figure = Figure(figsize=(10, 4.2), layout="constrained")
    setting = report.setting
    figure.suptitle(
        f"{setting.recipe} · {setting.stage} · {setting.topology} · {what(setting)} (modelled)",
        fontsize=11,
    )
    memory, step, network = figure.subplots(1, 3)
    _draw_memory(memory, report.memory)
    if report.work and report.speed:
        _draw_step(step, report.speed)
        _draw_network(network, report.work)
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=120)


def _draw_memory(axes: Axes, memory: Memory) -> None:
    axes.set_title("HBM of a chip, GiB")
    arguments = min(memory.arguments, memory.peak)
    axes.bar(["peak"], [arguments], color=_ARGUMENTS, label="arguments")
    axes.bar(
        ["peak"], [memory.peak - arguments], bottom=arguments, color=_TEMPORARIES, label="temporary"
    )
    axes.axhline(memory.usable, color=_LATE, label="usable")
    axes.legend()


def _draw_step(axes: Axes, speed: Speed) -> None:
    step = speed.step_seconds
    axes.set_title(f"step {step.total:.3f} s, MFU {speed.mfu:.0%}")
    hidden = step.ici - step.ici_exposed
    names, values = ["compute", "HBM", "network"], [step.compute, step.hbm, hidden]
    axes.bar(names, values, color=[_TEMPORARIES, _ARGUMENTS, _FREE])
    axes.bar(
        ["network"], [step.ici_exposed], bottom=[hidden], color=_LATE, label="network, exposed"
    )
    axes.set_ylabel("seconds")
    axes.legend()


def _draw_network(axes: Axes, work: Work) -> None:
    axes.set_title("received by a chip, GiB a step")
    names = list(work.collectives)
    hidden = [t.gib * t.async_fraction for t in work.collectives.values()]
    exposed = [t.gib - h for t, h in zip(work.collectives.values(), hidden, strict=True)]
    axes.barh(names, hidden, color=_FREE, label="while computing")
    axes.barh(names, exposed, left=hidden, color=_LATE, label="exposed")
    axes.invert_yaxis()
    axes.legend()
