"""Our own trust on disk: what is kept comes back, what is damaged is refused, a pair is replaced whole or not."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from certs import rotation as rules
from certs import store
from certs.authority import Authority
from certs.errors import OwnTrustDamaged
from certs.organization import create_organization
from certs.own import OwnTrust, TrustFiles, load_generation, load_own, new_generation, save_own
from certs.profiles import DEFAULT_LIFETIMES
from certs.sums import check_sum, summed
from mesh.ids import GatewayName, OrgId
from mesh.trust.bundle import check_bundle
from mesh.trust.pem import to_der
from tests.support.trust import NOW

ACME = OrgId("acme.example")


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    return create_organization(tmp_path / "acme", ACME, GatewayName("one"), NOW).keys


def test_a_new_organization_has_its_first_root_under_sequence_1(keys: Path) -> None:
    own = load_own(keys, ACME, NOW)
    assert (own.bundle.sequence, len(own.bundle.certificates), own.issuing, own.under_way) == (1, 1, 1, None)
    assert load_own(keys, ACME, NOW + timedelta(hours=1)) == own, "exporting twice gives the same file"


def test_what_is_kept_comes_back(keys: Path) -> None:
    generation = new_generation(keys, ACME, 1, NOW, DEFAULT_LIFETIMES)
    root = to_der(load_generation(keys, ACME, generation).certificate)
    rotation = replace(
        rules.published(rules.plan(1, generation, NOW, timedelta(days=2)), 2),
        left=frozenset({OrgId("globex.example")}),
        old_end=NOW,
    )
    own = load_own(keys, ACME, NOW)
    own = own.publishing((*own.bundle.certificates, root), NOW, rotation)
    save_own(keys, own)
    assert load_own(keys, ACME, NOW) == own
    check_bundle(own.bundle)


def test_each_generation_has_a_subject_name_of_its_own_and_no_number_is_used_twice(keys: Path) -> None:
    store.write_key(TrustFiles(keys).ca_key(2), Authority.create(ACME, NOW).key)
    found = [new_generation(keys, ACME, 1, NOW, DEFAULT_LIFETIMES) for _ in range(2)]
    assert found == [3, 4]
    subjects = {load_generation(keys, ACME, each).certificate.subject for each in (1, *found)}
    assert len(subjects) == 3


def damaged(keys: Path, **changed: Any) -> None:
    save_own(keys, OwnTrust(load_own(keys, ACME, NOW).bundle))
    document = check_sum(json.loads(TrustFiles(keys).state.read_text()))
    TrustFiles(keys).state.write_text(json.dumps(summed(document | changed)))


@pytest.mark.parametrize(
    "changed",
    [{"format": 2}, {"bundle": {}}, {"issuing": "x"}, {"rotation": {}}, {"rotation": 7}],
    ids=lambda changed: next(iter(changed)),
)
def test_a_damaged_state_is_refused_and_never_replaced_by_an_older_one(keys: Path, changed: dict[str, Any]) -> None:
    damaged(keys, **changed)
    with pytest.raises(OwnTrustDamaged):
        load_own(keys, ACME, NOW)


def test_the_state_of_another_organization_is_refused(keys: Path) -> None:
    damaged(keys)
    with pytest.raises(OwnTrustDamaged, match=r"acme\.example"):
        load_own(keys, OrgId("globex.example"), NOW)


def test_a_replaced_pair_leaves_nothing_beside_it_and_its_key_to_its_owner_only(keys: Path) -> None:
    files, issued = TrustFiles(keys), load_generation(keys, ACME, 1).issue(GatewayName("one"), NOW)
    before = sorted(path.name for path in keys.iterdir())
    store.replace_pair(files.leaf, files.leaf_key, [issued.certificate], issued.key)
    assert sorted(path.name for path in keys.iterdir()) == before
    assert files.leaf_key.stat().st_mode & 0o777 == 0o600
    assert store.key_pem(store.read_key(files.leaf_key)) == store.key_pem(issued.key)
    assert store.read_certificates(files.leaf) == [issued.certificate]


def test_nothing_is_finished_where_nothing_was_begun(keys: Path) -> None:
    files = TrustFiles(keys)
    before = files.leaf.read_bytes(), files.leaf_key.read_bytes()
    store.finish_pair(files.leaf, files.leaf_key)
    assert (files.leaf.read_bytes(), files.leaf_key.read_bytes()) == before
