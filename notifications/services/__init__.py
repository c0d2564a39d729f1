"""Announces, subscribes, renders, delivers and tracks."""

from notifications.services.announcing import announce, fan_out
from notifications.services.delivering import deliver_due, send_again, send_test
from notifications.services.rendering import Rendered, render
from notifications.services.states import provider_states
from notifications.services.subscribing import (
    confirm_contact,
    remove_contact,
    save_contact,
    set_preferences,
    subscribe,
    unsubscribe,
    unsubscribe_by_link,
    update_subscription,
)
from notifications.services.tracking import take_sendgrid_events, take_twilio_status
from notifications.services.upkeep import purge

__all__ = [
    "Rendered",
    "announce",
    "confirm_contact",
    "deliver_due",
    "fan_out",
    "provider_states",
    "purge",
    "remove_contact",
    "render",
    "save_contact",
    "send_again",
    "send_test",
    "set_preferences",
    "subscribe",
    "take_sendgrid_events",
    "take_twilio_status",
    "unsubscribe",
    "unsubscribe_by_link",
    "update_subscription",
]
