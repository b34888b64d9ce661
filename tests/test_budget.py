from __future__ import annotations

import subprocess
import sys
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kiro_lsp.budget import (
    UNKNOWN_PRICES,
    Usage,
    cost_nano,
    estimated,
    from_nano,
    provider_at,
    to_nano,
    used_in_words,
    worst_case_nano,
)
from kiro_lsp.settings import PriceSettings

MILLION = 10**6
DOLLAR = 10**9
MODEL = "claude-sonnet-5-5"


@pytest.mark.parametrize(
    ("usage", "dollars"),
    [
        (Usage(MILLION, 0), "2"),
        (Usage(0, MILLION), "10"),
        (Usage(MILLION, 0, cached_tokens=MILLION), "0.1"),
        (Usage(MILLION, 0, cache_write_tokens=MILLION), "2.5"),
        (Usage(MILLION, 0, 0, MILLION, MILLION), "4"),
        (Usage(2 * MILLION, 0, MILLION, MILLION, MILLION // 2), "3.35"),
        (Usage(3 * MILLION, MILLION, MILLION, MILLION), "14.6"),
        (Usage(1, 0), "0.000002"),
        (Usage(), "0"),
    ],
)
def test_a_usage_is_priced_with_its_cached_part_inside_its_input(usage: Usage, dollars: str) -> None:
    assert cost_nano(MODEL, usage) == to_nano(dollars)
    assert cost_nano(MODEL, usage, "anthropic") == to_nano(dollars)


@pytest.mark.parametrize(
    ("model", "usage"),
    [
        ("a-model-nobody-knows", Usage(10, 10)),
        ("", Usage(10, 10)),
        (MODEL, Usage(-1, 10)),
        (MODEL, Usage(10, -1)),
        (MODEL, Usage(10, 10, cached_tokens=11)),
        (MODEL, Usage(10, 10, cached_tokens=6, cache_write_tokens=5)),
        (MODEL, Usage(10, 10, 0, 5, 6)),
        (MODEL, Usage(10, 10, 0, 5, -1)),
    ],
)
def test_an_unknown_price_and_an_impossible_usage_are_unknown_and_not_zero(model: str, usage: Usage) -> None:
    assert cost_nano(model, usage) is None


tokens = st.integers(0, 2 * MILLION)


@given(uncached=tokens, read=tokens, written=tokens, hour=tokens, output=tokens, spare=tokens)
def test_a_reservation_covers_whatever_part_of_a_request_was_cached(
    uncached: int, read: int, written: int, hour: int, output: int, spare: int
) -> None:
    used = Usage(uncached + read + written, output, read, written, min(hour, written))
    real = cost_nano(MODEL, used)
    assert real is not None
    assert real <= worst_case_nano(MODEL, Usage(used.input_tokens, output + spare, hour_write_tokens=hour))


STATED = PriceSettings(Decimal(4), Decimal(20), Decimal("0.4"))


@pytest.mark.parametrize(
    ("price", "usage", "dollars"),
    [
        (STATED, Usage(MILLION, MILLION), "24"),
        (STATED, Usage(3 * MILLION, 0, MILLION, MILLION), "9.4"),
        (PriceSettings(Decimal(4), Decimal(20)), Usage(MILLION, 0, MILLION), "4"),
        (PriceSettings(Decimal(4), Decimal(20), None, Decimal(8)), Usage(MILLION, 0, 0, MILLION), "8"),
        (STATED, Usage(MILLION, 0, 0, MILLION, MILLION), "8"),
        (PriceSettings(Decimal(0), Decimal(0)), Usage(MILLION, MILLION), "0"),
    ],
)
@pytest.mark.parametrize("model", [MODEL, "a-model-nobody-knows"])
def test_what_the_person_states_goes_before_any_list(
    model: str, price: PriceSettings, usage: Usage, dollars: str
) -> None:
    assert cost_nano(model, usage, price=price) == to_nano(dollars)


@pytest.mark.parametrize("price", [PriceSettings(), PriceSettings(Decimal(1)), PriceSettings(None, Decimal(1))])
def test_half_a_stated_price_is_unknown(price: PriceSettings) -> None:
    assert cost_nano(MODEL, Usage(10, 10), price=price) is None


prices = st.builds(
    PriceSettings,
    *(st.decimals(0, 1000, places=3) for _ in range(2)),
    *(st.none() | st.decimals(0, 1000, places=3) for _ in range(2)),
)


@given(price=prices, uncached=tokens, read=tokens, written=tokens, hour=tokens, output=tokens, spare=tokens)
def test_a_reservation_covers_a_stated_price_too(
    price: PriceSettings, uncached: int, read: int, written: int, hour: int, output: int, spare: int
) -> None:
    used = Usage(uncached + read + written, output, read, written, min(hour, written))
    real = cost_nano("some", used, price=price)
    assert real is not None
    at_most = Usage(used.input_tokens, output + spare, hour_write_tokens=hour)
    assert real <= worst_case_nano("some", at_most, price=price)


@pytest.mark.parametrize(
    ("endpoint", "provider"),
    [
        ("https://api.anthropic.com", "anthropic"),
        ("https://api.openai.com/v1", "openai"),
        ("https://openrouter.ai/api/v1", "openrouter"),
        ("https://generativelanguage.googleapis.com", "google"),
        ("http://127.0.0.1:8000/v1", None),
        ("https://models.example.com", None),
        ("", None),
    ],
)
def test_an_address_says_whose_prices_it_has(endpoint: str, provider: str | None) -> None:
    assert provider_at(endpoint) == provider


@given(st.lists(st.builds(Usage, tokens, tokens, tokens, tokens, tokens)))
def test_usages_add_up_field_by_field(usages: list[Usage]) -> None:
    total = sum(usages, Usage())
    for name in ("input_tokens", "output_tokens", "cached_tokens", "cache_write_tokens", "hour_write_tokens"):
        assert getattr(total, name) == sum(getattr(usage, name) for usage in usages)


def test_no_known_list_price_is_above_what_is_reserved_for_an_unknown_model() -> None:
    from genai_prices.data_snapshot import get_snapshot

    def highest(price: object) -> Decimal:
        tiers = [tier.price for tier in getattr(price, "tiers", ())]
        return max([Decimal(getattr(price, "base", price or 0)), *map(Decimal, tiers)])

    checked = 0
    for provider in get_snapshot().providers:
        for model in provider.models:
            variants = model.prices if isinstance(model.prices, list) else [model.prices]
            _name, most_in, most_out = next(row for row in UNKNOWN_PRICES if model.id.lower().startswith(row[0]))
            for variant in variants:
                prices = getattr(variant, "prices", variant)
                for price, most in (
                    (prices.input_mtok, most_in),
                    (prices.cache_write_mtok, most_in * 2),
                    (prices.output_mtok, most_out),
                ):
                    assert highest(price) <= most, f"{provider.id} {model.id}: {price} a million"
                    checked += 1
    assert checked > 1000


def test_a_model_without_a_price_is_reserved_for_at_the_dearest_of_its_family() -> None:
    at_most = Usage(MILLION, MILLION)
    assert worst_case_nano("a-model-nobody-knows", at_most) == 750 * DOLLAR
    assert worst_case_nano("claude-nobody-knows", at_most) == 180 * DOLLAR
    assert worst_case_nano("Claude-nobody-knows", at_most) == 180 * DOLLAR
    with pytest.raises(ValueError, match="money"):
        worst_case_nano("a-model-nobody-knows", Usage(-1, 0))


@given(st.decimals(0, 10**7, places=9))
def test_money_survives_the_way_to_nano_dollars_and_back(amount: Decimal) -> None:
    text = from_nano(to_nano(amount))
    assert Decimal(text) == amount
    assert "e" not in text.lower()
    assert to_nano(text) == to_nano(amount)


@pytest.mark.parametrize(
    ("nano", "text"), [(0, "0"), (1, "0.000000001"), (DOLLAR, "1"), (10 * DOLLAR, "10"), (1_500_000_000, "1.5")]
)
def test_money_is_written_as_people_write_it(nano: int, text: str) -> None:
    assert from_nano(nano) == text


def test_a_part_of_a_nano_dollar_is_rounded_up() -> None:
    assert to_nano("0.0000000001") == 1


@pytest.mark.parametrize("wrong", ["NaN", "Infinity", "-1", "ten", "", "-0.000001"])
def test_what_is_no_amount_of_money_is_refused(wrong: str) -> None:
    with pytest.raises(ValueError, match="not an amount"):
        to_nano(wrong)


def test_the_price_list_is_loaded_when_a_price_is_asked_for_and_not_before() -> None:
    code = "import sys, kiro_lsp.budget; print([m for m in sys.modules if m.startswith(('genai_prices', 'httpx'))])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("billing", "cost", "charged", "tokens", "turns", "words"),
    [
        ("metered", "0", "0", 0, 0, ""),
        ("metered", "0.031", "0.031", 900, 2, "$0.03"),
        ("metered", "0.0001", "0.0001", 900, 2, "<$0.01"),
        ("metered", "12.5", "12.5", 900, 2, "$12.50"),
        ("metered", None, "0", 900, 2, "cost unknown"),
        ("metered", None, "0.42", 900, 2, "cost unknown, charged as $0.42"),
        ("subscription", "0", "0", 900, 1, "900 tokens, 1 turn"),
        ("local", None, "0", 12_345, 8, "12k tokens, 8 turns"),
        ("local", "0", "0", 0, 0, ""),
    ],
)
def test_what_a_run_has_used_in_words(
    billing: str, cost: str | None, charged: str, tokens: int, turns: int, words: str
) -> None:
    assert used_in_words(billing, cost, charged, tokens, turns) == words


@given(st.integers(0, 10**6), st.sampled_from(["simple", "moderate", "complex", "of no known kind"]))
def test_an_estimate_is_a_usage_that_can_be_priced_and_grows_with_the_task(characters: int, complexity: str) -> None:
    usage = estimated(characters, complexity)
    nano = cost_nano(MODEL, usage)
    assert nano is not None
    assert 0 < nano <= worst_case_nano(MODEL, usage)
    larger = cost_nano(MODEL, estimated(characters + 1000, complexity))
    harder = cost_nano(MODEL, estimated(characters, "complex"))
    assert larger is not None
    assert harder is not None
    assert nano < larger
    assert nano <= harder
