"""Who chooses among the enumerated candidates. A provider answers with an id of the list, never with a number.

Does not belong here: the candidates and the rules (kapman_advice).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from kapman_advice import decision, rules
from kapman_resources.settings import Settings, SettingsError


@dataclass(frozen=True)
class ProviderInfo:
    name: str
    model: str


class AdviceProvider(Protocol):
    def decide(self, context: decision.Context) -> decision.Decision: ...

    def info(self) -> ProviderInfo: ...


class RulesProvider:
    """Deterministic: the same stored inputs give the same advice. The default, and the fallback of every other one."""

    def decide(self, context: decision.Context) -> decision.Decision:
        return rules.decide(context)

    def info(self) -> ProviderInfo:
        return ProviderInfo("rules", rules.MODEL_VERSION)


def provider_from_settings(settings: Settings) -> AdviceProvider:
    """Raises SettingsError for a provider that this version does not carry."""
    if settings.ai_provider != "rules":
        raise SettingsError(
            f"AI_PROVIDER={settings.ai_provider} is not part of this version: leave it unset or set AI_PROVIDER=rules"
        )
    return RulesProvider()
