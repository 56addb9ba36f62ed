"""Panels of the machine dashboard: PCI Express, NVLink, fabric, NVLink-C2C."""

from collections.abc import Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, bars, lines
from tools.dashboards.scales import BYTES_PER_SECOND, COUNT, DETAILS, NONE_IS_GOOD, YES_BAD, YES_GOOD, or_off
from tools.dashboards.tables import Key, Value, rows

_GPU = "GPU {{index}}"
_DEVICE = Key("index", "GPU")
_THIS_MACHINE = ("instance",)
_NVLINK = f"No NVLink is active: {or_off('metrics.nvlink')}"
_NO_NVLINKS = f"No NVLinks: {or_off('metrics.nvlink')}"
_NO_FABRIC = "Only Hopper and later report this, with NVSwitches and if metrics.nvlink is on in monitor.yaml"
_THROUGHPUT = (
    "metrics.pcie_throughput is off in monitor.yaml, and there is no GPM (before Hopper, or metrics.gpm is off)"
)


def links() -> Sequence[PanelBuilder]:
    """Return the panels about PCI Express, NVLink, the NVSwitch fabric and the links to the CPU."""
    return [_pcie_link(), *_pcie(), *_nvlink(), *_active(), *_fabric(), _c2c()]


def _c2c() -> PanelBuilder:
    errors = ask.device_increase("genv_device_c2c_errors_total", "link", "kind")
    return rows(
        About(
            "NVLink-C2C",
            "Links of each GPU to the Grace CPU of its module, their bandwidth, and their errors in the chosen time,"
            " all kinds together.",
            width=24,
            height=8,
        ),
        [_DEVICE, Key("link", "Link")],
        [
            Value("Active", ask.device("genv_device_c2c_active", "link"), words=YES_GOOD),
            Value("Bandwidth", ask.device("genv_device_c2c_bandwidth_bytes_per_second", "link"), unit="binBps"),
            Value("Errors", f"round(sum by (instance, index, link) ({errors}))", steps=NONE_IS_GOOD.steps),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=f"No links to a CPU: {or_off('metrics.nvlink')}",
    )


def _pcie_link() -> PanelBuilder:
    def value(title: str, metric: str) -> Value:
        return Value(title, ask.named(ask.device(metric)))

    return rows(
        About(
            "PCI Express links",
            "Generation and lanes of each link, and the most that GPU and slot allow. An idle GPU lowers the"
            " generation; look into fewer lanes than allowed on a busy GPU. Retrained: how often in the chosen time"
            " the link was trained again, because resending a packet did not help.",
            width=10,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            value("Generation", "genv_device_pcie_link_generation"),
            value("Most", "genv_device_pcie_link_generation_max"),
            value("Lanes", "genv_device_pcie_link_width"),
            value("Most lanes", "genv_device_pcie_link_width_max"),
            Value(
                "Retrained",
                ask.named(f"round({ask.device_increase('genv_device_pcie_replay_rollovers_total')})"),
                steps=NONE_IS_GOOD.steps,
            ),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=DETAILS,
    )


def _pcie() -> Sequence[PanelBuilder]:
    def throughput(title: str, what: str, direction: str) -> PanelBuilder:
        about = About(
            title,
            f"Bytes per second that each GPU {what}, sampled for 20 ms; if that is off, from its counters.",
            width=12,
            height=7,
            empty=_THROUGHPUT,
        )
        sampled = ask.device(f"genv_device_pcie_{direction}_bytes_per_second")
        counted = ask.device("genv_device_pcie_traffic_bytes_per_second", where=f'direction="{direction}"')
        return lines(about, f"{sampled} or {counted}", _GPU, BYTES_PER_SECOND)

    errors = f"round({ask.device_increase('genv_device_pcie_errors_total', 'kind')})"
    return [
        bars(
            About(
                "PCI Express replays",
                "Packets sent again in the chosen time; many of them mean a bad slot or riser.",
                width=7,
                height=8,
                empty=DETAILS,
            ),
            f"round({ask.device_increase('genv_device_pcie_replays_total')})",
            _GPU,
            NONE_IS_GOOD,
        ),
        rows(
            About(
                "PCI Express errors",
                "Errors of each kind in the chosen time, the most first. Correctable errors only cost time;"
                " l0_to_recovery: the link was retrained.",
                width=7,
                height=8,
            ),
            [_DEVICE, Key("kind", "Kind")],
            [Value("Errors", errors, steps=NONE_IS_GOOD.steps)],
            sort_by="Errors",
            hidden=_THIS_MACHINE,
            empty=DETAILS,
        ),
        throughput("PCI Express received", "received", "receive"),
        throughput("PCI Express sent", "sent", "transmit"),
    ]


def _nvlink() -> Sequence[PanelBuilder]:
    def throughput(title: str, what: str, counter: str) -> PanelBuilder:
        about = About(title, f"Bytes per second that each GPU {what} over all its NVLinks.", 8, 8, empty=_NVLINK)
        expression = f"sum by (instance, index) ({ask.device_rate(counter, 'link')})"
        return lines(about, expression, _GPU, BYTES_PER_SECOND)

    errors = f"round({ask.device_increase('genv_device_nvlink_errors_total', 'link', 'kind')})"
    return [
        throughput("NVLink received", "received", "genv_device_nvlink_receive_bytes_total"),
        throughput("NVLink sent", "sent", "genv_device_nvlink_transmit_bytes_total"),
        rows(
            About(
                "NVLink errors",
                "Errors on each NVLink in the chosen time, the most first.",
                width=8,
                height=8,
            ),
            [_DEVICE, Key("link", "Link"), Key("kind", "Kind")],
            [Value("Errors", errors, steps=NONE_IS_GOOD.steps)],
            sort_by="Errors",
            hidden=_THIS_MACHINE,
            empty=_NVLINK,
        ),
    ]


def _active() -> Sequence[PanelBuilder]:
    active = ask.device("genv_device_nvlink_active", "link")
    return [
        rows(
            About(
                "NVLinks",
                "Number of links of each GPU, how many of them are active, and the total bandwidth of these in each"
                " direction. A link with nothing at its other end is never active.",
                width=12,
                height=8,
            ),
            [_DEVICE, Key("name", "Model")],
            [
                Value("Links", ask.named(f"count by (instance, index) ({active})")),
                Value("Active", ask.named(f"sum by (instance, index) ({active})")),
                Value("Bandwidth", ask.named(ask.nvlink_bandwidth()), unit="binBps"),
            ],
            sort_by="GPU",
            least_first=True,
            hidden=_THIS_MACHINE,
            empty=_NO_NVLINKS,
        ),
        lines(
            About(
                "NVLinks active",
                "Number of active NVLinks of each GPU; look into it if it falls.",
                width=12,
                height=8,
                empty=_NO_NVLINKS,
            ),
            f"sum by (instance, index) ({active})",
            _GPU,
            COUNT,
        ),
    ]


def _fabric() -> Sequence[PanelBuilder]:
    return [
        rows(
            About(
                "Fabric",
                "State of each GPU in joining the NVSwitch fabric. Programs cannot use the GPU until it is completed."
                " GPUs of one clique reach one another.",
                width=14,
                height=8,
            ),
            [_DEVICE, Key("state", "State"), Key("cluster_uuid", "Cluster"), Key("clique", "Clique")],
            [Value("1", ask.fabric())],
            sort_by="GPU",
            least_first=True,
            hidden=(*_THIS_MACHINE, "1"),
            empty=_NO_FABRIC,
        ),
        rows(
            About(
                "Fabric problems",
                "Problems with the fabric that each GPU reports.",
                width=10,
                height=8,
            ),
            [_DEVICE, Key("problem", "Problem")],
            [Value("Present", ask.device("genv_device_fabric_problem", "problem"), words=YES_BAD)],
            sort_by="Present",
            hidden=_THIS_MACHINE,
            empty=_NO_FABRIC,
        ),
    ]
