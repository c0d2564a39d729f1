"""Staff look at messages, templates and local mails; administrators send tests and send again."""

import pytest
from django.urls import reverse

from accounts.tests.factories import UserFactory
from audit.models import Entry
from notifications.models import Announcement, Contact, Notification, Preferences, Subscription
from notifications.services import announce, deliver_due
from notifications.tests.factories import news, notification, subscriber

pytestmark = pytest.mark.django_db
TEMPLATES = "/admin/notifications/notification/templates/"
SAMPLE = "/admin/notifications/notification/templates/sample"
MAILS = "/admin/notifications/notification/mails/"


@pytest.mark.slow
@pytest.mark.parametrize("role", ["viewer", "admin"])
def test_lists_and_details_open_and_nothing_can_be_changed(client, role):
    client.force_login(UserFactory(role=role))
    user = subscriber(language="bg", channels=["email", "sms"], phone="+359881234567")
    announce(**news())
    rows = {
        "notification": notification(user=user),
        "announcement": Announcement.objects.get(),
        "subscription": Subscription.objects.get(),
        "contact": Contact.objects.get(),
        "preferences": Preferences.objects.get(),
    }
    styled = client.get(reverse("admin:notifications_notification_change", args=[rows["notification"].pk]))
    assert b"notifications/admin.css" in styled.content
    for name, row in rows.items():
        assert client.get(reverse(f"admin:notifications_{name}_changelist")).status_code == 200
        change = reverse(f"admin:notifications_{name}_change", args=[row.pk])
        assert client.get(change).status_code == 200
        assert client.post(change, {}).status_code == 403
        assert client.get(reverse(f"admin:notifications_{name}_add")).status_code == 403
    page = client.get(reverse("admin:notifications_notification_changelist")).content.decode()
    assert "<strong>E-mail</strong> by file" in page
    subscriptions = client.get(reverse("admin:notifications_subscription_changelist")).content.decode()
    assert "New election, Closing soon, Final tally, Cancelled" in subscriptions
    assert "E-mail, SMS" in subscriptions


@pytest.mark.parametrize("who", ["nobody", "citizen"])
def test_others_see_nothing(client, who):
    if who == "citizen":
        client.force_login(UserFactory())
    row = notification()
    for address in (TEMPLATES, f"{SAMPLE}?event=created&channel=email&language=en", MAILS, f"{MAILS}{row.pk}"):
        assert client.get(address).status_code in (302, 403)
    assert client.get(reverse("admin:notifications_notification_preview", args=[row.pk])).status_code in (302, 403)


def test_a_preview_is_shut_in_and_without_the_readers_link(client):
    client.force_login(UserFactory(role="viewer"))
    row = notification(payload={"title": "<script>alert(1)</script>"})
    page = client.get(reverse("admin:notifications_notification_preview", args=[row.pk]))
    assert page["Content-Security-Policy"].startswith("sandbox; default-src 'none'")
    assert page["X-Frame-Options"] == "SAMEORIGIN"
    assert b"<script" not in page.content
    Notification.objects.update(payload={"title": "only"})
    assert b"cannot be rendered" in client.get(page.request["PATH_INFO"]).content


@pytest.mark.parametrize("event", ["created", "closing", "tallied", "cancelled", "confirmation"])
@pytest.mark.parametrize("language", ["en", "bg"])
@pytest.mark.parametrize("channel", ["email", "sms"])
def test_each_template_has_a_preview(client, event, language, channel):
    client.force_login(UserFactory(role="viewer"))
    query = f"?event={event}&channel={channel}&language={language}"
    assert client.get(TEMPLATES + query).status_code == 200
    page = client.get(SAMPLE + query)
    assert page.status_code == 200
    assert ("Psephos" in page.content.decode()) or channel == "sms"


def test_a_sample_that_is_not_there_is_404(client):
    client.force_login(UserFactory(role="viewer"))
    assert client.get(f"{SAMPLE}?event=nope&channel=email&language=en").status_code == 404
    assert client.get(f"{TEMPLATES}?event=nope").status_code == 200
    assert client.get(f"{MAILS}00000000-0000-0000-0000-000000000000").status_code == 404


def test_an_admin_sends_a_test_to_themself_and_a_viewer_does_not(client, sendgrid):
    body = {"event": "tallied", "channel": "email", "language": "bg"}
    client.force_login(UserFactory(role="viewer"))
    assert client.post(TEMPLATES, body).status_code == 403
    boss = UserFactory(role="admin")
    client.force_login(boss)
    assert client.post(TEMPLATES, body).status_code == 302
    assert deliver_due() == {"sent": 1}
    mail = sendgrid.taken[0]
    assert mail["to"] == boss.email
    assert "Това е проба" in mail["mail"]["content"][0]["value"]
    assert mail["mail"]["subject"].startswith("Резултат: ")
    assert Entry.objects.get(action="notifications.test_sent").actor == f"user:{boss.pk}"
    refused = client.post(TEMPLATES, body | {"channel": "sms"})
    assert b"Confirm an address" in refused.content
    assert Notification.objects.count() == 1


def test_local_mails_are_shown(client):
    client.force_login(UserFactory(role="viewer"))
    assert b"No mail was written yet" in client.get(MAILS).content
    row = notification(language="bg")
    deliver_due()
    page = client.get(MAILS).content.decode()
    assert "Ново гласуване: Green spaces" in page
    mail = client.get(f"{MAILS}{row.pk}")
    assert "Можете да изберете" in mail.content.decode()
    assert mail["Content-Security-Policy"].startswith("sandbox")


def test_failed_messages_are_sent_again_by_admins_only(client, sendgrid):
    sendgrid.answers.append(400)
    row = notification()
    deliver_due()
    address = reverse("admin:notifications_notification_changelist")
    body = {"action": "send_again", "_selected_action": [str(row.pk)], "confirmed": "yes"}
    client.force_login(UserFactory(role="viewer"))
    client.post(address, body)
    row.refresh_from_db()
    assert row.status == "failed"
    client.force_login(UserFactory(role="admin"))
    client.post(address, body)
    row.refresh_from_db()
    assert (row.status, row.attempts) == ("queued", 0)


@pytest.mark.slow
def test_the_dashboard_shows_the_providers(client):
    client.force_login(UserFactory(role="viewer"))
    page = client.get("/admin/").content.decode()
    assert "E-mail (file): <strong>idle</strong>" in page
    assert "SMS (log): <strong>" in page


@pytest.mark.parametrize(("page", "title"), [(TEMPLATES, "Templates"), (MAILS, "Mails on this machine")])
def test_pages_beside_the_list_have_titles_and_one_lit_item_of_the_menu(client, page, title):
    client.force_login(UserFactory(role="viewer"))
    answer = client.get(page)
    heading = " ".join(answer.content.decode().partition("<h1")[2].partition("</h1>")[0].split())
    assert title in heading
    lit = [
        item["title"] for group in answer.context["sidebar_navigation"] for item in group["items"] if item.get("active")
    ]
    assert lit == ["Templates and tests" if page == TEMPLATES else "Messages"]
