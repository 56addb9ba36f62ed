"""Of the dashboard of one machine: PCI Express, NVLink, the fabric, and links to the CPU (NVLink-C2C)."""

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
_NO_FABRIC = "Hopper and later tell of the fabric, where there are NVSwitches and metrics.nvlink is on in monitor.yaml"
_THROUGHPUT = "metrics.pcie_throughput is off in monitor.yaml; before Hopper, or with metrics.gpm off, only it can tell"


def links() -> Sequence[PanelBuilder]:
    """Draw PCI Express, NVLink, the fabric of NVSwitches, and the links to the CPU."""
    return [_pcie_link(), *_pcie(), *_nvlink(), *_active(), *_fabric(), _c2c()]


def _c2c() -> PanelBuilder:
    errors = ask.device_increase("genv_device_c2c_errors_total", "link", "kind")
    return rows(
        About(
            "NVLink-C2C",
            "Links of each device to the CPU of its module (Grace), what each can carry, and the errors on it in the"
            " chosen time, of all kinds together.",
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
            "Generation and lanes of each link, and the most that device and slot allow. An idle device goes down with"
            " the generation; fewer lanes than allowed while it works are worth a look. Trained again: how often in the"
            " chosen time, because sending a packet again did not help.",
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
                "Trained again",
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
            f"Bytes per second that each device {what}, as sampled for 20 ms; where that is off, by its own counters.",
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
                "Packets that were sent again in the chosen time: many of them mean a bad slot or riser.",
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
                "Errors of each kind in the chosen time, the worst first. Those that can be corrected cost time"
                " only; l0_to_recovery: the link was trained anew.",
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
        about = About(title, f"Bytes per second that each device {what} over all its NVLinks.", 8, 8, empty=_NVLINK)
        expression = f"sum by (instance, index) ({ask.device_rate(counter, 'link')})"
        return lines(about, expression, _GPU, BYTES_PER_SECOND)

    errors = f"round({ask.device_increase('genv_device_nvlink_errors_total', 'link', 'kind')})"
    return [
        throughput("NVLink received", "received", "genv_device_nvlink_receive_bytes_total"),
        throughput("NVLink sent", "sent", "genv_device_nvlink_transmit_bytes_total"),
        rows(
            About(
                "NVLink errors",
                "Errors on each NVLink in the chosen time, the worst first.",
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
                "Links that each device has, how many of them are active, and what these can carry together in each"
                " direction. A link without anything at its other end is never active.",
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
                "How many NVLinks of each device are active; one fewer than before is worth a look.",
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
                "How far each device is in joining the fabric of NVSwitches. Until that is completed, programs cannot"
                " use it; devices of one clique reach one another.",
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
                "What may be wrong with the fabric, and whether each device says that it is.",
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
