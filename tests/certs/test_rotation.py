"""The laws of a CA rotation, over every order of what can happen, and the moments of renewals and warnings."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from certs import rotation as rules
from certs.errors import NotLagging, RotationTooEarly
from certs.rotation import Action, PeerProgress, Phase, Rotation
from mesh.ids import OrgId

NOW = datetime(2031, 5, 17, tzinfo=UTC)
DAY = timedelta(days=1)
ORGS = [OrgId(f"{name}.example") for name in ("globex", "initech", "umbrella")]
OLD, NEW = 1, 2


@dataclass
class Holder:
    """A peer as it is: the bundles it has stored, and whether it is active with us."""

    roots: frozenset[int] = frozenset({OLD})
    held: int = 1
    acknowledged: int = 1
    active: bool = True
    accepts: bool | None = None


class RotationMachine(RuleBasedStateMachine):
    """The publisher takes every step the rules allow; peers store, acknowledge, vanish and come back as they like."""

    def __init__(self) -> None:
        super().__init__()
        self.now = NOW
        self.published = {1: frozenset({OLD})}
        self.issuing = OLD
        self.last_leaf_end = NOW + 90 * DAY
        self.peers = {org: Holder() for org in ORGS}
        self.rotation = rules.plan(OLD, NEW, NOW)
        self.overridden: set[OrgId] = set()

    @property
    def sequence(self) -> int:
        return max(self.published)

    def active(self) -> dict[OrgId, PeerProgress]:
        return {org: PeerProgress(peer.acknowledged, peer.accepts) for org, peer in self.peers.items() if peer.active}

    @rule(days=st.integers(0, 60))
    def time_passes(self, days: int) -> None:
        self.now += days * DAY

    @rule(org=st.sampled_from(ORGS))
    def a_peer_stores_the_bundle_unless_it_cannot_verify_us(self, org: OrgId) -> None:
        peer = self.peers[org]
        if self.issuing in peer.roots:
            peer.held, peer.roots = self.sequence, self.published[self.sequence]

    @rule(org=st.sampled_from(ORGS))
    def an_acknowledgement_arrives(self, org: OrgId) -> None:
        self.peers[org].acknowledged = self.peers[org].held

    @rule(org=st.sampled_from(ORGS))
    def a_peer_is_probed(self, org: OrgId) -> None:
        self.peers[org].accepts = NEW in self.peers[org].roots

    @rule(org=st.sampled_from(ORGS), active=st.booleans())
    def a_peer_is_suspended_or_resumed(self, org: OrgId, active: bool) -> None:
        self.peers[org].active = active

    @rule(org=st.sampled_from(ORGS))
    def an_operator_leaves_a_peer(self, org: OrgId) -> None:
        try:
            self.rotation = rules.leave(self.rotation, [org], self.active(), self.now)
        except (NotLagging, RotationTooEarly):
            return
        assert self.now >= self.rotation.deadline
        self.overridden.add(org)

    @rule()
    def the_publisher_takes_a_step(self) -> None:
        decision = rules.next_step(self.rotation, self.active(), self.now)
        match decision.action:
            case Action.PUBLISH:
                self.published[self.sequence + 1] = frozenset({OLD, NEW})
                self.rotation = rules.published(self.rotation, self.sequence)
            case Action.ADOPT:
                self.rotation = rules.adopted(self.rotation)
            case Action.SWITCH:
                for org, peer in self.peers.items():
                    held = peer.acknowledged >= self.rotation.sequence and peer.accepts
                    assert held or not peer.active or org in self.overridden
                self.issuing, self.last_leaf_end = NEW, self.now + 90 * DAY
                self.rotation = rules.switched(self.rotation, self.last_leaf_end)
            case Action.RETIRE:
                assert self.now >= self.last_leaf_end
                self.published[self.sequence + 1] = frozenset({NEW})
                self.rotation = rules.retired(self.rotation)
            case Action.WAIT | Action.REHEARSE:
                assert decision.lagging or decision.due

    @invariant()
    def a_peer_that_acknowledged_accepts_us(self) -> None:
        for peer in self.peers.values():
            if self.rotation.sequence and peer.acknowledged >= self.rotation.sequence:
                assert self.issuing in peer.roots

    @invariant()
    def before_the_switch_everybody_accepts_us(self) -> None:
        if self.issuing == OLD:
            assert all(OLD in peer.roots for peer in self.peers.values())


TestRotation = RotationMachine.TestCase
TestRotation.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def at(phase: Phase, **given: object) -> Rotation:
    made = Rotation(OLD, NEW, NOW, NOW + 7 * DAY, phase=phase, sequence=2)
    return replace(made, **given)  # type: ignore[arg-type]  # fields of a Rotation


def test_the_laggard_is_named_with_the_moment_from_which_it_may_be_left() -> None:
    peers = {ORGS[0]: PeerProgress(2), ORGS[1]: PeerProgress(1)}
    decision = rules.next_step(at(Phase.PUBLISHED), peers, NOW)
    assert decision.action is Action.WAIT
    assert decision.lagging == (ORGS[1],)
    assert decision.due == NOW + 7 * DAY


def test_after_the_deadline_it_still_waits_until_the_laggard_is_left_by_name() -> None:
    peers = {ORGS[0]: PeerProgress(2), ORGS[1]: PeerProgress(1)}
    late = NOW + 8 * DAY
    decision = rules.next_step(at(Phase.PUBLISHED), peers, late)
    assert (decision.action, decision.lagging) == (Action.WAIT, (ORGS[1],))
    left = rules.leave(at(Phase.PUBLISHED), [ORGS[1]], peers, late)
    assert rules.next_step(left, peers, late).action is Action.ADOPT


def test_nobody_is_left_before_the_deadline_nor_without_need() -> None:
    peers = {ORGS[0]: PeerProgress(2, True), ORGS[1]: PeerProgress(1)}
    with pytest.raises(RotationTooEarly):
        rules.leave(at(Phase.PUBLISHED), [ORGS[1]], peers, NOW)
    with pytest.raises(NotLagging):
        rules.leave(at(Phase.PUBLISHED), [ORGS[0]], peers, NOW + 8 * DAY)
    with pytest.raises(NotLagging):
        rules.leave(at(Phase.SWITCHED), [ORGS[1]], peers, NOW + 8 * DAY)


def test_a_peer_that_refuses_the_probe_holds_the_switch_up() -> None:
    refusing = {ORGS[0]: PeerProgress(2, True), ORGS[1]: PeerProgress(2, False)}
    decision = rules.next_step(at(Phase.ADOPTED), refusing, NOW)
    assert (decision.action, decision.lagging) == (Action.REHEARSE, (ORGS[1],))


def test_a_peer_that_joins_before_the_switch_must_acknowledge_too() -> None:
    joined = {ORGS[0]: PeerProgress(2, True), ORGS[1]: PeerProgress()}
    assert rules.next_step(at(Phase.ADOPTED), joined, NOW).lagging == (ORGS[1],)


def test_an_emergency_leaves_laggards_by_itself_and_retires_at_once() -> None:
    peers = {ORGS[0]: PeerProgress(1)}
    emergency = at(Phase.PUBLISHED, emergency=True)
    assert rules.next_step(emergency, peers, NOW).action is Action.WAIT
    decision = rules.next_step(emergency, peers, NOW + 7 * DAY)
    assert (decision.action, decision.lagging) == (Action.LEAVE, (ORGS[0],))
    acknowledged = {ORGS[0]: PeerProgress(2)}
    assert rules.next_step(at(Phase.ADOPTED, emergency=True), acknowledged, NOW).action is Action.SWITCH
    assert rules.next_step(at(Phase.SWITCHED, emergency=True), peers, NOW).action is Action.RETIRE


@given(st.integers(1, 400), st.floats(0, 1, exclude_max=True))
def test_a_leaf_is_renewed_about_half_way(days: int, unit: float) -> None:
    moment = rules.renew_at(NOW, NOW + days * DAY, unit)
    assert NOW + 0.44 * days * DAY <= moment <= NOW + 0.56 * days * DAY


@pytest.mark.parametrize(
    ("left", "expected"),
    [(31 * DAY, None), (30 * DAY, 30), (15 * DAY, 30), (14 * DAY, 14), (7 * DAY, 7), (DAY, 1), (-DAY, 0)],
)
def test_a_warning_names_the_nearest_of_30_14_7_and_1_days(left: timedelta, expected: int | None) -> None:
    end = NOW + 90 * DAY
    assert rules.warning_days(NOW, end, end - left) == expected


def test_a_leaf_of_an_hour_is_no_reason_to_warn_while_it_lives() -> None:
    assert rules.warning_days(NOW, NOW + DAY / 24, NOW) is None
    assert rules.warning_days(NOW, NOW + 3 * DAY, NOW + 2.5 * DAY) == 1
