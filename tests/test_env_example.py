"""`.env.example` names every setting there is, and no other."""

import re
from pathlib import Path

from analytics_svc.settings import AnalyticsSettings
from auth_svc.settings import AuthSettings
from billing_svc.emulator.settings import EmulatorSettings
from billing_svc.settings import BillingSettings
from chat_svc.settings import ChatSettings
from edge.settings import EdgeSettings

EXAMPLE = Path(__file__).parent.parent / ".env.example"
PROCESSES = (EdgeSettings, AuthSettings, ChatSettings, BillingSettings, AnalyticsSettings, EmulatorSettings)


def test_every_setting_is_in_the_example_and_nothing_else() -> None:
    named = set(re.findall(r"^#([A-Z0-9_]+)=", EXAMPLE.read_text(), re.MULTILINE))

    settings = {field.upper() for process in PROCESSES for field in process.model_fields}
    assert named == settings | {"CHATMESH_HOME"}
