"""Endpoints of Envoy: where the servers of each lane listen, in files that it watches.

A lane's file is replaced in one step, and Envoy takes it up at once. Calls on a server that is not named any
more go on to their end; new ones go to those that are, once their health checks succeed.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

Config = dict[str, Any]
TYPE = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"


def socket(host: str, port: int) -> Config:
    return {"socket_address": {"address": host, "port_value": port}}


def over_http(lane: str) -> str:
    """Name of a lane's other cluster, which calls the HTTP servers of the same processes."""
    return f"{lane}_http"


def is_over_http(lane: str) -> bool:
    """Whether a name is one of over_http()."""
    return lane.endswith("_http")


def of(servers: Sequence[tuple[str, int]]) -> list[Config]:
    """Endpoints of a cluster."""
    found = [{"endpoint": {"address": socket(host, port)}} for host, port in servers]
    return [{"lb_endpoints": found}] if found else []


def subscribe(cluster: Config, folder: Path) -> None:
    """Has a cluster watch its lane's file in a folder."""
    del cluster["load_assignment"], cluster["dns_lookup_family"]
    cluster["type"] = "EDS"
    source = {
        "path_config_source": {"path": str(_file(folder, cluster["name"]))},
        "resource_api_version": "V3",
    }
    cluster["eds_cluster_config"] = {"eds_config": source}
    # Else one that was taken away would get calls until its health check fails.
    cluster["ignore_health_on_host_removal"] = True


def write(folder: Path, lane: str, servers: Sequence[tuple[str, int]]) -> None:
    """Names the servers of a lane from now on."""
    resource = {"@type": TYPE, "cluster_name": f"spine_{lane}", "endpoints": of(servers)}
    file = _file(folder, f"spine_{lane}")
    fresh = file.with_suffix(".new")
    fresh.write_text(json.dumps({"resources": [resource]}))
    fresh.replace(file)


def _file(folder: Path, cluster: str) -> Path:
    return folder / f"endpoints-{cluster}.json"
