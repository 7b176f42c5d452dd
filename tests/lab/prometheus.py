# SPDX-License-Identifier: GPL-3.0-or-later
"""Debian's Prometheus and node_exporter, unpacked and not installed: their packages would start them for good."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

from .cache import cached, digest

PACKAGES = ("prometheus", "prometheus-node-exporter")


def tree() -> Path:
    """The folder with `usr/bin/prometheus`, `promtool` and `prometheus-node-exporter`, of this release."""

    def make(path: Path) -> None:
        path.mkdir()
        subprocess.run(["apt-get", "download", *PACKAGES], cwd=path, check=True, capture_output=True, timeout=600)
        for package in path.glob("*.deb"):
            subprocess.run(["dpkg-deb", "--extract", package, path], check=True, timeout=300)
            package.unlink()

    return cached("prometheus", digest(*PACKAGES, Path("/etc/os-release").read_bytes()), make)


def promtool(*arguments: str | Path, given: str = "") -> str:
    """What promtool prints; it must find nothing wrong."""
    done = subprocess.run(
        [tree() / "usr/bin/promtool", *arguments], input=given, capture_output=True, text=True, timeout=60
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout + done.stderr


@contextmanager
def running(folder: Path, metrics: Path, rules: Path, ports: tuple[int, int]) -> Iterator[str]:
    """The URL of a Prometheus that asks a node_exporter for the files in `metrics`, inside a `with` block."""
    exporter, server = (f"127.0.0.1:{port}" for port in ports)
    configuration = folder / "prometheus.yml"
    scrape = {"job_name": "node", "static_configs": [{"targets": [exporter]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    # JSON is YAML.
    configuration.write_text(json.dumps({"global": every, "rule_files": [str(rules)], "scrape_configs": [scrape]}))
    promtool("check", "config", configuration)
    programs: list[list[str | Path]] = [
        [
            tree() / "usr/bin/prometheus-node-exporter", f"--web.listen-address={exporter}",
            "--collector.disable-defaults", "--collector.textfile", f"--collector.textfile.directory={metrics}",
        ],
        [
            tree() / "usr/bin/prometheus", f"--config.file={configuration}", f"--web.listen-address={server}",
            f"--storage.tsdb.path={folder / 'data'}",
        ],
    ]  # fmt: skip
    with (folder / "log").open("wb") as log:
        processes = [subprocess.Popen(argv, stdout=log, stderr=log) for argv in programs]
        try:
            yield f"http://{server}"
        finally:
            for process in processes:
                process.kill()
                process.wait()


def asked(url: str, what: str, ready: Any, seconds: float = 40) -> Any:
    """The `data` of an answer of the API, once `ready` is true of it."""
    until = time.monotonic() + seconds
    while True:
        try:
            with urlopen(f"{url}/api/v1/{what}", timeout=5) as answer:
                found = json.load(answer)["data"]
            if ready(found):
                return found
        except OSError:
            found = "no answer"
        assert time.monotonic() < until, found
        time.sleep(0.5)
