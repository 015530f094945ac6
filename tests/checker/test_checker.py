"""The short forms of the delivery checker's scenarios, and a trial of its judge."""

from __future__ import annotations

import json
from pathlib import Path

import delivery
import pytest

SEED = 20160728

# What is broken in one delivery -> which count of the judge shows it, and no other.
FAULTS = {
    "drop": {"lost": 1},
    "tail": {"lost": 1},
    "duplicate": {"duplicated": 1},
    "swap": {"reordered": 1},
    "flip-body": {"corrupt": 1, "lost": 1},
    "flip-sequence": {"corrupt": 1, "lost": 1},
    "flip-time": {"corrupt": 1, "lost": 1},
    "subject": {"misrouted": 1, "lost": 1},
    "sid": {"misrouted": 1, "lost": 1},
    "stranger": {"misrouted": 1},
    "group-none": {"lost": 1},
    "group-twice": {"duplicated": 1},
}
COUNTS = ("lost", "duplicated", "reordered", "corrupt", "misrouted")


@pytest.fixture(scope="session")
def checker(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return delivery.build(tmp_path_factory.mktemp("checker"))


def test_the_judge_accepts_a_perfect_delivery(checker: Path) -> None:
    report = delivery.run(checker, "judge", seed=SEED, fault="none")
    assert report["verdict"] == "clean"
    assert report["delivered"] == 1000


@pytest.mark.parametrize("fault", FAULTS)
def test_the_judge_catches(checker: Path, fault: str) -> None:
    report = delivery.run(checker, "judge", seed=SEED, fault=fault)
    assert report["verdict"] == "failed"
    found = {name: report[name] for name in COUNTS if report[name]}
    assert found == FAULTS[fault]
    assert report["error"] == ""


@pytest.mark.parametrize("fault", ["framing", "verb"])
def test_the_judge_refuses_what_is_not_the_protocol(checker: Path, fault: str) -> None:
    report = delivery.run(checker, "judge", seed=SEED, fault=fault)
    assert report["verdict"] == "failed"
    assert report["error"].startswith(("MSG chk.0", "XSG chk.0"))


@pytest.mark.parametrize("threads", [1, 2, 4])
def test_publishers_flat_out_to_all_kinds_of_subscribers(
    checker: Path, threads: int
) -> None:
    report = delivery.flow(checker, threads, delivery.SHORT, SEED)
    assert report["verdict"] == "clean", json.dumps(report)
    assert report["delivered"] == report["expected"] == 8 * 5_000 * 4


def test_queue_members_that_come_and_go_lose_and_double_nothing(checker: Path) -> None:
    report = delivery.churn(checker, 4, delivery.SHORT, SEED)
    assert report["verdict"] == "clean", json.dumps(report)
    assert report["delivered"] == report["expected"]
    assert report["expected"] > 0.9 * 10_000 * report["seconds"]
    assert min(report["joins"], report["leaves"]) > 0.9 * 400 * report["seconds"]


@pytest.mark.skipif(bool(delivery.TARGET), reason="needs a server of its own")
def test_clients_connect_beside_a_busy_python_thread(checker: Path) -> None:
    report = delivery.storm(checker, 2, delivery.SHORT)
    assert report["verdict"] == "clean", json.dumps(report)
    assert report["served"] == delivery.SHORT.clients
    assert report["seconds"] <= delivery.SHORT.storm_limit_s
