"""Money and tokens as values: usage, prices, caps. Pure arithmetic; the ledger that many processes share is the store's.

Money is an integer in nano-dollars (10^-9 USD) inside, a decimal string in USD on the wire. An unknown price or usage is
None everywhere and never zero. Prices are what the person states (`[prices]`), else those of genai-prices, from the data it
ships: nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import ROUND_CEILING, Decimal, InvalidOperation
from typing import Final

from kiro_lsp.settings import PriceSettings

NANO: Final = 10**9
_HOUR_MORE: Final = Decimal("0.6")
"""What is kept for an hour costs twice the price of input to write, everything else one and a quarter."""

UNKNOWN_PRICES: Final = (
    ("claude", Decimal(30), Decimal(150)),
    ("", Decimal(150), Decimal(600)),
)
"""Beginning of a model's name, then dollars for a million tokens in and out: what is reserved for a model without a known
price. No list price that genai-prices knows of that family is higher (a test compares them)."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one or more requests. `input_tokens` includes what was read from and written to a cache."""

    input_tokens: int = 0
    output_tokens: int = 0
    cached_tokens: int = 0
    """Part of `input_tokens` that was read from a cache."""
    cache_write_tokens: int = 0
    """Part of `input_tokens` that was written to a cache."""
    hour_write_tokens: int = 0
    """Part of `cache_write_tokens` that is kept for an hour, which costs more."""

    def __add__(self, other: Usage) -> Usage:
        return Usage(
            self.input_tokens + other.input_tokens,
            self.output_tokens + other.output_tokens,
            self.cached_tokens + other.cached_tokens,
            self.cache_write_tokens + other.cache_write_tokens,
            self.hour_write_tokens + other.hour_write_tokens,
        )


def to_nano(amount: Decimal | str | int) -> int:
    """US dollars as nano-dollars, rounded up. Raises ValueError for what is no amount of money."""
    try:
        value = Decimal(amount)
        if not value.is_finite() or value < 0:
            raise ValueError(f"not an amount of money: {amount!r}")
        return int((value * NANO).to_integral_value(ROUND_CEILING))
    except InvalidOperation as error:
        raise ValueError(f"not an amount of money: {amount!r}") from error


def from_nano(nano: int) -> str:
    """Nano-dollars as a plain decimal string in US dollars: "0.0123", never in exponent form."""
    text = f"{Decimal(nano) / NANO:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def cost_nano(
    model: str, usage: Usage, provider: str | None = None, *, price: PriceSettings | None = None
) -> int | None:
    """What a usage costs in nano-dollars, rounded up. `price` is what the person says of this model.

    None when the model's price is not known, or when the numbers cannot be true: a report that makes no sense is charged
    like one that never came.
    """
    written = usage.cache_write_tokens
    counts = (usage.input_tokens, usage.output_tokens, usage.cached_tokens, written, usage.hour_write_tokens)
    if min(counts) < 0 or usage.cached_tokens + written > usage.input_tokens or usage.hour_write_tokens > written:
        return None
    return _list_price(model, usage, provider) if price is None else _stated_price(price, usage)


def _stated_price(price: PriceSettings, usage: Usage) -> int | None:
    if price.input is None or price.output is None:
        return None
    cached = price.input if price.cached is None else price.cached
    written = price.input * Decimal("1.25") if price.cache_write is None else price.cache_write
    fresh = usage.input_tokens - usage.cached_tokens - usage.cache_write_tokens
    total = (
        fresh * price.input
        + usage.cached_tokens * cached
        + (usage.cache_write_tokens + usage.hour_write_tokens * _HOUR_MORE) * written
        + usage.output_tokens * price.output
    )
    return to_nano(total / 10**6)


def _list_price(model: str, usage: Usage, provider: str | None) -> int | None:
    try:
        from genai_prices import Usage as PricedUsage
        from genai_prices import calc_price
    except ImportError:  # it is still being installed: no price is known yet
        return None
    priced = PricedUsage(
        input_tokens=usage.input_tokens,
        output_tokens=usage.output_tokens,
        cache_read_tokens=usage.cached_tokens,
        cache_write_tokens=usage.cache_write_tokens,
        **({"cache_write_1h_tokens": usage.hour_write_tokens} if usage.hour_write_tokens else {}),
    )
    try:
        return to_nano(calc_price(priced, model, provider_id=provider).total_price)
    except (LookupError, ValueError):
        return None


def provider_at(endpoint: str) -> str | None:
    """Whose prices an address has, by the list; None for an address that no list knows."""
    try:
        from genai_prices.data_snapshot import get_snapshot
    except ImportError:
        return None
    try:
        return str(get_snapshot().find_provider(None, None, endpoint).id)
    except LookupError:
        return None


def worst_case_nano(
    model: str, at_most: Usage, provider: str | None = None, *, price: PriceSettings | None = None
) -> int:
    """What is reserved for a request: its price if all input were new, read from or written to the cache, whichever is
    the dearest, and all output used.

    A model without a known price is reserved for at the dearest price of its family. Raises ValueError for negative tokens.
    """
    tokens = at_most.input_tokens, at_most.output_tokens
    hour = min(at_most.hour_write_tokens, tokens[0])
    ways = (Usage(*tokens), Usage(*tokens, tokens[0]), Usage(*tokens, 0, tokens[0], hour))
    known = [nano for usage in ways if (nano := cost_nano(model, usage, provider, price=price)) is not None]
    if known:
        return max(known)
    per_input, per_output = next(
        (per_input, per_output) for name, per_input, per_output in UNKNOWN_PRICES if model.lower().startswith(name)
    )
    return to_nano((at_most.input_tokens * per_input + at_most.output_tokens * per_output) / 10**6)


_TURNS: Final = {"simple": 5, "moderate": 10, "complex": 20}
_FIXED_TOKENS: Final = 3_000
_TOKENS_BETWEEN: Final = 1_500
_TOKENS_SAID: Final = 600


def estimated(prompt_characters: int, complexity: str) -> Usage:
    """What a task may take that is `simple`, `moderate` or `complex`: a guess, made of so many turns that each find what was
    said before in the cache, read a file or two and answer. No run is measured for it, and no cap follows from it.
    """
    turns = _TURNS.get(complexity, _TURNS["moderate"])
    prompt = _FIXED_TOKENS + prompt_characters // 4
    written = prompt + _TOKENS_BETWEEN * (turns - 1)
    cached = prompt * (turns - 1) + _TOKENS_BETWEEN * (turns - 1) * (turns - 2) // 2
    return Usage(written + cached, _TOKENS_SAID * turns, cached, written)


# In front of people


def dollars(cost: str) -> str:
    """An amount as a lens shows it: "$0.03", and what is less than a cent as that."""
    amount = Decimal(cost)
    return "<$0.01" if 0 < amount < Decimal("0.01") else f"${amount:.2f}"


def about(cost: str) -> str:
    """An estimate in words: "about $0.12", "under $0.01"."""
    return f"under {dollars(cost)[1:]}" if dollars(cost).startswith("<") else f"about {dollars(cost)}"


def used_in_words(billing: str, cost: str | None, charged: str = "0", tokens: int = 0, turns: int = 0) -> str:
    """What a run has used: dollars where it is metered, tokens and turns elsewhere; "" for nothing."""
    if billing != "metered":
        counted = f"{tokens / 1000:.0f}k tokens" if tokens >= 10_000 else f"{tokens} tokens"
        return f"{counted}, {turns} turn{'' if turns == 1 else 's'}" if tokens or turns else ""
    if cost is None:
        return f"cost unknown, charged as {dollars(charged)}" if Decimal(charged) else "cost unknown"
    return dollars(cost) if Decimal(cost) else ""
