"""Panels of the machine dashboard: clocks, throttling, video engines, fans, module power."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, Scale, lines, states
from tools.dashboards.scales import BYTES, COUNT, DETAILS, HERTZ, RATIO, SECONDS, WATTS

_GPU = "GPU {{index}}"


def clocks() -> Sequence[PanelBuilder]:
    """Return the panels about clocks and throttling."""
    return [
        _clock("sm", "Clock of the streaming multiprocessors"),
        _clock("memory", "Clock of the memory"),
        states(
            About(
                "Throttled",
                "When each GPU ran slower than it could, for any reason but being idle (orange).",
                width=12,
                height=9,
                empty=DETAILS,
            ),
            f"max by (instance, index) ({ask.device('genv_device_throttled', 'reason')})",
            _GPU,
            Scale("none", words={0: ("full speed", "green"), 1: ("throttled", "orange")}),
        ),
        lines(
            About(
                "GPUs throttled by reason",
                "Number of GPUs that run slower than they could; docs/metrics.md says what each reason means.",
                width=6,
                height=9,
                empty=DETAILS,
            ),
            f"sum by (reason) ({ask.device('genv_device_throttled', 'reason')})",
            "{{reason}}",
            COUNT,
        ),
        lines(
            About(
                "Time throttled by reason",
                "Share of time by the driver's counter, of the GPU that was throttled most.",
                width=6,
                height=9,
                empty=f"{DETAILS}; only newer drivers count it",
            ),
            f"clamp_max(max by (reason) ({ask.device_rate('genv_device_throttled_seconds_total', 'reason')}), 1)",
            "{{reason}}",
            RATIO,
        ),
    ]


def _clock(clock: str, what: str, width: int = 12) -> PanelBuilder:
    where = f'clock="{clock}"'
    return lines(
        About(f"{what}", f"{what} of each GPU; dashed: the highest that any can reach.", width, 8, empty=DETAILS),
        ask.device("genv_device_clock_hertz", where=where),
        _GPU,
        HERTZ,
        Line(f"max({ask.device('genv_device_clock_max_hertz', where=where)})", "highest", dashed=True),
    )


def engines_and_fans() -> Sequence[PanelBuilder]:
    """Return the panels about video engines, other clocks and power, fans and BAR1 memory."""

    def engine(title: str, what: str, metric: str) -> PanelBuilder:
        about = About(title, f"Share of time in which {what} was busy.", width=6, height=7, empty=DETAILS)
        return lines(about, ask.device(metric), _GPU, RATIO)

    return [
        engine("Video encoder", "the video encoder", "genv_device_encoder_utilization_ratio"),
        engine("Video decoder", "the video decoder", "genv_device_decoder_utilization_ratio"),
        engine("JPEG engine", "the JPEG engine", "genv_device_jpeg_utilization_ratio"),
        engine("Optical flow", "the optical flow accelerator", "genv_device_ofa_utilization_ratio"),
        _clock("graphics", "Clock of the graphics engine"),
        _clock("video", "Clock of the video engines"),
        lines(
            About("Performance state", "0 is the fastest, 15 the slowest.", 6, 8, empty=DETAILS),
            ask.device("genv_device_performance_state"),
            _GPU,
            Scale("none", least=0, greatest=15),
        ),
        lines(
            About(
                "Fans",
                "Target speed of each fan as a share of its full speed; can be above 100 %.",
                width=6,
                height=8,
                empty=f"{DETAILS}; many GPUs of servers have no fans of their own",
            ),
            ask.device("genv_device_fan_speed_ratio", "fan"),
            "GPU {{index}} fan {{fan}}",
            Scale("percentunit", least=0),
        ),
        lines(
            About(
                "Fan speed",
                "Target speed of each fan in rotations per minute.",
                width=6,
                height=8,
                empty=f"{DETAILS}; driver 565 and later, where there are fans",
            ),
            ask.device("genv_device_fan_speed_rpm", "fan"),
            "GPU {{index}} fan {{fan}}",
            Scale("rotrpm", least=0),
        ),
        lines(
            About(
                "BAR1 memory used",
                "Use of the window through which the host reaches GPU memory; dashed: its size.",
                width=6,
                height=8,
                empty=DETAILS,
            ),
            ask.device("genv_device_bar1_memory_used_bytes"),
            _GPU,
            BYTES,
            Line(f"min({ask.device('genv_device_bar1_memory_total_bytes')})", "size", dashed=True),
        ),
        *_other_power(),
        *_sessions(),
    ]


def _other_power() -> Sequence[PanelBuilder]:
    module = "genv_device_module_power_watts", "genv_device_module_power_limit_watts"
    return [
        lines(
            About(
                "Instant power",
                "Power draw of each board at the moment, and of its memory if that is measured; in the panel above,"
                " newer GPUs report the mean of a second.",
                width=12,
                height=8,
                empty=DETAILS,
            ),
            ask.device("genv_device_power_instant_watts"),
            _GPU,
            WATTS,
            Line(ask.device("genv_device_memory_power_watts"), f"{_GPU} memory"),
        ),
        lines(
            About(
                "Power of the module",
                "Power of the module with the GPU and its Grace CPU; dashed: the limit of the module.",
                width=12,
                height=8,
                empty=f"{DETAILS}; only GPUs with a Grace CPU are part of such a module",
            ),
            ask.device(module[0]),
            _GPU,
            WATTS,
            Line(ask.device(module[1]), f"{_GPU} limit", dashed=True),
        ),
    ]


def _sessions() -> Sequence[PanelBuilder]:
    def both(title: str, description: str, what: str, scale: Scale) -> PanelBuilder:
        def metric(engine: str) -> str:
            return ask.device(f"genv_device_{engine}_{what}")

        empty = DETAILS if what == "sessions" else f"No session, or: {DETAILS}"
        captures = Line(metric("capture"), f"{_GPU} capture")
        return lines(About(title, description, 8, 7, empty), metric("encoder"), f"{_GPU} encoder", scale, captures)

    whose = "that encode video, and that capture the screen (NvFBC)"
    return [
        both("Video sessions", f"Sessions {whose}.", "sessions", COUNT),
        both("Frames per second", f"Mean over the sessions {whose}.", "frames_per_second", COUNT),
        both("Latency of sessions", f"Mean over the sessions {whose}.", "latency_seconds", SECONDS),
    ]
