"""S9: one voice is one source, however many links, keys or addresses it has."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from django.contrib.auth.models import User
from django.test import Client
from django.utils import timezone
from rest_framework.test import APIClient

from feedback_app.links import Link
from feedback_app.models import Feedback
from feedback_app.sources import source_group
from models_app.models import Prediction, RegisteredModel, TrainingSnapshot
from models_app.strangers import network_of
from tests.conftest import KeyMaker
from tests.factories import LONG, make_champion, make_model
from tests.feedback_app.makers import make_prediction
from tests.feedback_app.test_snapshots import freeze

pytestmark = pytest.mark.django_db

PATH = "/api/feedback/"
WORD = {"model": "leaves", "features": LONG, "value": "oak"}


def link_of(client: APIClient, prediction: object) -> str:
    url: str = client.post(f"/api/predictions/{prediction}/feedback-link/", {}).json()["url"]
    return url.removeprefix("http://localhost:8000")


def predicted(client: APIClient, rows: int = 1) -> list[str]:
    told = client.post("/api/models/leaves/predict/", {"instances": [LONG] * rows}).json()
    return [one["id"] for one in told["predictions"]]


def sources() -> set[str]:
    return {word.source for word in Feedback.objects.all()}


def test_forty_links_of_one_key_are_one_source(client_with: KeyMaker) -> None:
    make_champion()
    client = client_with("predict", "feedback")
    holder = User.objects.get(username__startswith="key-")
    for prediction in predicted(client, rows=40):
        assert Client().post(link_of(client, prediction), {"right": "yes"}).status_code == 200
    client.post(PATH, WORD)

    assert Feedback.objects.count() == 41
    assert sources() == {f"user:{holder.username}"}


def test_a_link_counts_to_its_maker_not_to_the_client_that_was_answered(
    client_with: KeyMaker,
) -> None:
    make_champion()
    (prediction,) = predicted(client_with("predict"))
    maker = client_with("read", "feedback")

    Client().post(link_of(maker, prediction), {"right": "yes"})

    asked = Prediction.objects.get().client
    assert asked
    (source,) = sources()
    assert source.startswith("user:key-")
    assert source != f"user:{asked.username}"


def test_one_prediction_has_one_standing_word_of_a_maker_and_each_link_says_one(
    client_with: KeyMaker,
) -> None:
    """The maker's own word too gives way to that of its link, and the other way round."""
    make_champion()
    client = client_with("predict", "feedback")
    (prediction,) = predicted(client)
    links = [link_of(client, prediction) for _ in range(2)]
    about = {"prediction": prediction, "value": "oak"}

    client.post(PATH, about)
    for link in links:
        assert Client().post(link, {"right": "yes"}).status_code == 200
    client.post(PATH, about)

    for link in links:
        assert Client().post(link, {"value": "elm"}).status_code == 410
        assert "already recorded" in Client().get(link).text
    newest_last = [word.status for word in Feedback.objects.order_by("pk")]
    assert newest_last == ["superseded", "superseded", "superseded", "accepted"]


def test_a_link_from_before_counts_as_it_may_and_keeps_working() -> None:
    """It names no maker: the client of the prediction stands for it, or else the link alone."""
    version = make_champion()
    ada = User.objects.create_user("ada")
    until = timezone.now() + timedelta(hours=1)
    for client, link_id in ((ada, "old"), (None, "older")):
        link = Link(make_prediction(version, client=client).pk, link_id, until)
        assert Client().post(f"/f/{link}", {"right": "yes"}).status_code == 200
        assert Client().post(f"/f/{link}", {"right": "yes"}).status_code == 410

    assert sources() == {"user:ada", "link:older"}


def test_a_link_that_the_release_before_took_a_word_by_is_used() -> None:
    prediction = make_prediction(make_champion())
    link = Link(prediction.pk, "7:old", timezone.now() + timedelta(hours=1))
    Feedback.objects.create(
        registered_model=prediction.registered_model, prediction=prediction, features=LONG,
        value="oak", status="pending", source="link:7:old",
    )  # fmt: skip

    assert Client().post(f"/f/{link}", {"right": "yes"}).status_code == 410


def test_a_link_tells_its_holder_no_name(client_with: KeyMaker) -> None:
    make_champion()
    client = client_with("predict", "feedback")
    (prediction,) = predicted(client)

    text = link_of(client, prediction).removeprefix("/f/")

    holder = User.objects.get(username__startswith="key-")
    assert Link.of(text).id.startswith(f"{holder.pk}:")
    assert holder.username not in str(Link.of(text))


@pytest.mark.parametrize(
    ("addresses", "count"),
    [
        (["192.0.2.1", "192.0.2.2"], 2),
        (["192.0.2.1", "::ffff:192.0.2.1", "::FFFF:C000:201"], 1),
        (["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", "2001:DB8:1:2:0:0:0:3"], 1),
        (["2001:db8:1:2::1", "2001:db8:1:3::1"], 2),
        # 6to4, Teredo and NAT64 hold an IPv4 address, and the rest of them is its holder's choice.
        (["192.0.2.1", "2002:c000:201::1", "2002:c000:201:9::1", "64:ff9b::c000:201"], 1),
        (["2001:0:1::3fff:fdfe", "2001:0:2:0:8000:1:3fff:fdfe", "192.0.2.1"], 1),
        (["64:ff9b::c000:201", "64:ff9b::c000:202"], 2),
    ],
)
def test_a_network_is_one_source(api: APIClient, addresses: list[str], count: int) -> None:
    make_model()
    for address in addresses:
        assert api.post(PATH, WORD, REMOTE_ADDR=address).status_code == 201

    assert len(sources()) == count
    assert {source_group(source) for source in sources()} == sources()


def test_words_about_one_prediction_from_one_network_take_each_others_place(
    api: APIClient,
) -> None:
    prediction = make_prediction(make_champion())
    for number in range(3):
        word = {"prediction": prediction.pk, "value": "oak"}
        api.post(PATH, word, REMOTE_ADDR=f"2001:db8::{number}")

    assert Feedback.objects.exclude(status="superseded").count() == 1


def test_ten_thousand_words_of_one_request_are_one_source(api: APIClient) -> None:
    make_model()

    api.post(PATH, [WORD] * 10_000)

    assert len(sources()) == 1


def test_those_of_a_network_have_idempotency_keys_of_their_own(api: APIClient) -> None:
    make_model()
    sent = [
        api.post(PATH, WORD, REMOTE_ADDR=address, headers={"Idempotency-Key": "1"}).status_code
        for address in ("2001:db8::1", "2001:db8::2", "2001:db8::1")
    ]

    assert sent == [201, 201, 200]


@pytest.mark.parametrize(
    ("stored", "group"),
    [
        ("address:2001:db8:1:2:3:4:5:6", "address:2001:db8:1:2::"),
        ("address:::ffff:192.0.2.1", "address:192.0.2.1"),
        ("address:192.0.2.1", "address:192.0.2.1"),
        ("address:", "address:"),
        ("user:key-2001:db8::1", "user:key-2001:db8::1"),
        ("link:abc", "link:abc"),
        ("forgotten:7", "forgotten:7"),
    ],
)
def test_what_was_stored_before_belongs_to_its_network(stored: str, group: str) -> None:
    assert source_group(stored) == group
    assert source_group(group) == group


class TestAnonymous:
    """Without an account a word waits for a person where nobody looks at what it taught."""

    @pytest.fixture
    def model(self) -> RegisteredModel:
        return make_champion(make_model(promotion={"mode": "auto"})).registered_model

    def test_waits_where_versions_are_promoted_by_themselves(
        self, api: APIClient, client_with: KeyMaker, model: RegisteredModel
    ) -> None:
        single = api.post(PATH, WORD).json()
        listed = api.post(PATH, [{**WORD, "value": "elm"}]).json()["results"][0]
        page = api.post("/feedback", {"features": LONG, "value": "oak"}).json()

        assert {single["status"], listed["status"], page["status"]} == {"pending"}
        assert single["reasons"] == page["reasons"] == []
        seen = client_with("read", "review").get(PATH).json()["results"]
        assert [one["reasons"] for one in seen] == [
            ["anonymous"], ["anonymous", "confident_disagreement"], ["anonymous"],
        ]  # fmt: skip

    def test_and_trains_once_a_person_accepts_it(
        self, api: APIClient, client_with: KeyMaker, model: RegisteredModel
    ) -> None:
        body = api.post(PATH, WORD).json()
        decision = {"decision": "accept", "reason": "seen"}

        decided = client_with("review").post(f"{PATH}{body['id']}/review/", decision)

        assert decided.json()["status"] == "accepted"

    def test_but_not_by_a_key_or_a_link(
        self, client_with: KeyMaker, model: RegisteredModel
    ) -> None:
        client = client_with("predict", "feedback")
        (prediction,) = predicted(client)

        assert client.post(PATH, WORD).json()["status"] == "accepted"
        assert Client().post(link_of(client, prediction), {"right": "yes"}).status_code == 200
        assert {word.status for word in Feedback.objects.all()} == {"accepted"}

    def test_waits_too_if_it_was_accepted_while_a_person_promoted(
        self, api: APIClient, client_with: KeyMaker
    ) -> None:
        model = make_champion().registered_model
        learnt, later, seen = (
            api.post(PATH, {**WORD, "features": {"length": 6.0 + n, "width": 1.0}}).json()["id"]
            for n in range(3)
        )
        Feedback.objects.get(pk=learnt).snapshots.add(
            TrainingSnapshot.objects.create(
                registered_model=model, digest="a", rows=9, feedback_rows=1
            )
        )
        for decision in ("reject", "accept"):
            review = {"decision": decision, "reason": "seen"}
            client_with("review").post(f"{PATH}{seen}/review/", review)
        key = client_with("feedback").post(PATH, WORD).json()["id"]
        model.promotion = {"mode": "auto"}
        model.save()

        assert freeze(model).feedback_rows == 3

        waits = {str(word.pk): word.status for word in Feedback.objects.all()}
        assert waits == {learnt: "accepted", later: "pending", seen: "accepted", key: "accepted"}

    @pytest.mark.parametrize(
        "policies",
        [
            {"promotion": {"mode": "auto"}, "feedback": {"review": "none"}},
            {"promotion": {"mode": "manual"}},
            {},
        ],
    )
    def test_nor_where_a_person_promotes_or_no_review_is_wanted(
        self, api: APIClient, policies: dict[str, Any]
    ) -> None:
        make_champion(make_model(**policies))

        assert api.post(PATH, WORD).json()["status"] == "accepted"


def test_the_network_of_what_is_no_address_is_itself() -> None:
    assert network_of("unknown") == "unknown"
    assert network_of("64:ff9b:1::1") == "64:ff9b:1::"
