"""Panels of the machine dashboard: PCI Express, NVLink, fabric, NVLink-C2C."""

from collections.abc import Callable, Sequence

from tools.dashboards import machine_expressions as ask
from tools.dashboards.frame import PanelBuilder
from tools.dashboards.panels import About, Line, lines
from tools.dashboards.scales import BYTES_PER_SECOND, DETAILS, NONE_IS_GOOD, YES_BAD, YES_GOOD, or_off
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
    return [_pcie_link(), _errors(), *_traffic(), _nvlinks(), _c2c(), *_fabric()]


def _c2c() -> PanelBuilder:
    errors = ask.device_increase("genv_device_c2c_errors_total", "link", "kind")
    return rows(
        About(
            "NVLink-C2C",
            "Links of each GPU to the Grace CPU of its module, their bandwidth, and their errors in the chosen time,"
            " all kinds together.",
            width=12,
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

    def count(title: str, counter: str) -> Value:
        return Value(title, ask.named(f"round({ask.device_increase(counter)})"), steps=NONE_IS_GOOD.steps)

    return rows(
        About(
            "PCI Express links",
            "Generation and lanes of each link, and the most that GPU and slot allow. An idle GPU lowers the"
            " generation; look into fewer lanes than allowed on a busy GPU. Replays: packets sent again in the chosen"
            " time; many of them mean a bad slot or riser. Retrained: how often the link was trained again, because"
            " resending a packet did not help.",
            width=14,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            value("Generation", "genv_device_pcie_link_generation"),
            value("Most", "genv_device_pcie_link_generation_max"),
            value("Lanes", "genv_device_pcie_link_width"),
            value("Most lanes", "genv_device_pcie_link_width_max"),
            count("Replays", "genv_device_pcie_replays_total"),
            count("Retrained", "genv_device_pcie_replay_rollovers_total"),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=DETAILS,
    )


def _errors() -> PanelBuilder:
    return rows(
        About(
            "Errors on links",
            "Errors of each kind on PCI Express and on each NVLink in the chosen time, the most first. Correctable"
            " errors only cost time; l0_to_recovery: the link was retrained.",
            width=10,
            height=8,
        ),
        [_DEVICE, Key("link", "Link"), Key("kind", "Kind")],
        [Value("Errors", ask.link_errors(), steps=NONE_IS_GOOD.steps)],
        sort_by="Errors",
        hidden=_THIS_MACHINE,
        empty=DETAILS,
    )


def _traffic() -> Sequence[PanelBuilder]:
    def pcie(direction: str) -> str:
        sampled = ask.device(f"genv_device_pcie_{direction}_bytes_per_second")
        counted = ask.device("genv_device_pcie_traffic_bytes_per_second", where=f'direction="{direction}"')
        return f"{sampled} or {counted}"

    def nvlink(direction: str) -> str:
        counter = f"genv_device_nvlink_{direction}_bytes_total"
        return f"sum by (instance, index) ({ask.device_rate(counter, 'link')})"

    def both(title: str, description: str, empty: str, expression: Callable[[str], str]) -> PanelBuilder:
        sent = Line(expression("transmit"), f"{_GPU} sent")
        about = About(title, description, 12, 8, empty)
        return lines(about, expression("receive"), f"{_GPU} received", BYTES_PER_SECOND, sent)

    return [
        both(
            "PCI Express traffic",
            "Bytes per second that each GPU received and sent, sampled for 20 ms; if that is off, from its counters.",
            _THROUGHPUT,
            pcie,
        ),
        both(
            "NVLink traffic",
            "Bytes per second that each GPU received and sent over all its NVLinks.",
            _NVLINK,
            nvlink,
        ),
    ]


def _nvlinks() -> PanelBuilder:
    active = ask.device("genv_device_nvlink_active", "link")
    return rows(
        About(
            "NVLinks",
            "Number of links of each GPU, how many of them are active, and the total bandwidth of these in each"
            " direction. A link with nothing at its other end is never active. Lost: links that were active in the"
            " chosen time and are not now.",
            width=12,
            height=8,
        ),
        [_DEVICE, Key("name", "Model")],
        [
            Value("Links", ask.named(f"count by (instance, index) ({active})")),
            Value("Active", ask.named(f"sum by (instance, index) ({active})")),
            Value("Lost", ask.named(ask.lost_nvlinks()), steps=NONE_IS_GOOD.steps),
            Value("Bandwidth", ask.named(ask.nvlink_bandwidth()), unit="binBps"),
        ],
        sort_by="GPU",
        least_first=True,
        hidden=_THIS_MACHINE,
        empty=_NO_NVLINKS,
    )


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
