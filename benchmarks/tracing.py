"""What spans cost: CPU time a record, without tracing, and with it at several rates of sampling.

    python -m benchmarks.tracing                     # on a broker of its own
    python -m benchmarks.tracing --modes threads --repeat 5

The provider is the SDK's, from its environment variables, without an exporter:
what exporting costs is the exporter's.  The handler decodes JSON.
"""

from __future__ import annotations

import argparse
from collections import defaultdict
from statistics import median
from typing import Final

import msgspec

from streams.bench.ground import ground
from streams.bench.records import make_topic, numbered_records, produce_all
from streams.bench.task import Task
from streams.config import Settings

_SDK: Final = {"STREAMS_TRACING": "on", "OTEL_PYTHON_TRACER_PROVIDER": "sdk_tracer_provider"}
_RATIO: Final = "parentbased_traceidratio"
CASES: Final[dict[str, dict[str, str]]] = {
    "off": {"STREAMS_TRACING": "off"},
    "on, none sampled": {**_SDK, "OTEL_TRACES_SAMPLER": "always_off"},
    "on, 1 % sampled": {**_SDK, "OTEL_TRACES_SAMPLER": _RATIO, "OTEL_TRACES_SAMPLER_ARG": "0.01"},
    "on, all sampled": {**_SDK, "OTEL_TRACES_SAMPLER": "always_on"},
}


def main() -> None:
    """Measure as the command line says; print a line for each mode and case."""
    options = _options()
    settings = Settings(group="streams-bench").from_environment()
    with ground(settings, print) as place:
        task = Task(topic=f"{place.name}-records", partitions=12, records=options.records, handler="json")
        make_topic(place.settings, task.topic, task.partitions)
        produce_all(place.settings, task.topic, numbered_records(options.records))
        for mode in options.modes.split(","):
            one = msgspec.structs.replace(task, mode=mode, group=f"{place.name}-{mode}")
            costs_us: dict[str, list[float]] = defaultdict(list)
            for _ in range(options.repeat):  # they take turns: a machine whose speed drifts does it to all
                for case, environment in CASES.items():
                    done = place.run(one, environment)
                    costs_us[case].append(done.cpu_s / done.records * 1e6)
            for case, found in costs_us.items():
                print(f"{mode:8} {case:18} CPU us/record {median(found):6.2f} ({min(found):.2f}-{max(found):.2f})")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--modes", default="inline,threads,asyncio,batch")
    parser.add_argument("--records", type=int, default=200_000)
    parser.add_argument("--repeat", type=int, default=3)
    return parser.parse_args()


if __name__ == "__main__":
    main()
