"""Django admin of `notifications`: what became of each message, the templates, the local mails."""

import uuid
from email import policy
from email.message import EmailMessage
from email.parser import BytesParser
from pathlib import Path
from typing import Any, cast

from django import forms
from django.conf import settings
from django.contrib import admin, messages
from django.core.exceptions import PermissionDenied
from django.db.models import QuerySet
from django.http import Http404, HttpRequest, HttpResponse, HttpResponseRedirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, path, reverse
from django.utils.html import escape, format_html
from rest_framework.exceptions import APIException
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline
from accounts.models import User
from audit.admin_base import confirmed, copyable, formatted_json
from notifications.exceptions import NotificationNotFailed, TemplateIncomplete
from notifications.models import (
    ELECTION_EVENTS,
    Announcement,
    Channel,
    Contact,
    Event,
    Language,
    Notification,
    Preferences,
    ProviderEvent,
    Subscription,
)
from notifications.services import provider_states, render, send_again, send_test
from notifications.services.samples import SAMPLE_ELECTION, sample_payload

SHOWN_MAILS = 100
SAMPLED = (*ELECTION_EVENTS, Event.CONFIRMATION)
# A mail is foreign markup: nothing in it may run, load or lead anywhere, and only our own pages may frame it.
MAIL_POLICY = "sandbox; default-src 'none'; style-src 'unsafe-inline'; img-src data:; frame-ancestors 'self'"


def mail_response(html: str, text: str = "") -> HttpResponse:
    """Show a mail's HTML (or a text) shut in by a policy of its own."""
    body = html or f"<!doctype html><meta charset=utf-8><pre style='white-space:pre-wrap'>{escape(text)}</pre>"
    response = HttpResponse(body)
    response["Content-Security-Policy"] = MAIL_POLICY
    response["X-Frame-Options"] = "SAMEORIGIN"
    return response


class SampleForm(forms.Form):
    """Which template to look at."""

    event = forms.ChoiceField(choices=[(event.value, event.label) for event in SAMPLED], initial=Event.CREATED)
    channel = forms.ChoiceField(choices=Channel.choices, initial=Channel.EMAIL)
    language = forms.ChoiceField(choices=Language.choices, initial=Language.EN)


class ProviderEventInline(ReadOnlyInline):
    model = ProviderEvent
    fields = readonly_fields = ("provider", "kind", "received_at")


@admin.register(Notification)
class NotificationAdmin(ReadOnlyAdmin):
    list_display = (
        "created_at",
        "event",
        "shown_election",
        "user",
        "channel",
        "shown_status",
        "last_error",
    )
    list_filter = ("status", "event", "channel", "language", "provider")
    search_fields = ("id", "address", "election", "provider_message_id", "user__email")
    search_help_text = "Address, user, election, an ID of ours or the provider's"
    list_select_related = ("user",)
    fields = (
        "event", "election", "user", "channel", "address", "language", "time_zone", "status", "preview", "shown_errors",
        "attempts", "provider", "provider_message_id", "created_at", "due_at", "attempted_at", "claimed_until",
        "sent_at", "finished_at", "expires_at", "shown_id",
    )  # fmt: skip
    readonly_fields = fields
    inlines = [ProviderEventInline]
    actions = ["send_again"]  # type: ignore[assignment]
    change_list_template = "notifications_admin/change_list.html"

    class Media:
        css = {"all": ["notifications/admin.css"]}

    @display(
        description="Status",
        ordering="status",
        label={
            "queued": "info",
            "sending": "info",
            "unknown": "warning",
            "sent": "success",
            "delivered": "success",
            "bounced": "danger",
            "failed": "danger",
        },
    )
    def shown_status(self, row: Notification) -> str:
        return row.status

    @display(description="Election", ordering="election")
    def shown_election(self, row: Notification) -> str:
        return copyable(row.election)

    @display(description="ID")
    def shown_id(self, row: Notification) -> str:
        return copyable(row.pk, is_whole=True)

    @display(description="Errors")
    def shown_errors(self, row: Notification) -> str:
        return formatted_json(row.errors)

    @admin.display(description="Last error")
    def last_error(self, row: Notification) -> str:
        return row.errors[-1]["code"] if row.errors else ""

    @admin.display(description="Message")
    def preview(self, row: Notification) -> str:
        address = reverse("admin:notifications_notification_preview", args=[row.pk])
        return format_html('<iframe class="mail" src="{}" title="The message" loading="lazy"></iframe>', address)

    def has_send_permission(self, request: HttpRequest) -> bool:
        return bool(request.user.is_superuser)

    @admin.action(description="Send these again", permissions=["send"])
    @confirmed("Those that failed go out once more. The others are left alone.")
    def send_again(self, request: HttpRequest, rows: QuerySet[Notification]) -> None:
        queued = 0
        for row in rows:
            try:
                send_again(notification_id=row.pk, by=cast(User, request.user))
                queued += 1
            except NotificationNotFailed:
                continue
        messages.info(request, f"{queued} of {len(rows)} are sent again; the others had not failed.")

    def changelist_view(self, request: HttpRequest, extra_context: dict[str, Any] | None = None) -> HttpResponse:
        context = {**(extra_context or {}), "providers": provider_states()}
        return super().changelist_view(request, context)

    def get_urls(self) -> list[URLPattern]:
        pages = [
            ("templates/", self.templates_page, "templates"),
            ("templates/sample", self.sample_page, "sample"),
            ("mails/", self.mails_page, "mails"),
            ("mails/<uuid:mail_id>", self.mail_page, "mail"),
            ("<uuid:notification_id>/preview", self.preview_page, "preview"),
        ]
        own = [
            path(route, self.admin_site.admin_view(view), name=f"notifications_notification_{name}")
            for route, view, name in pages
        ]
        return [*own, *super().get_urls()]

    def check_view(self, request: HttpRequest) -> None:
        if not self.has_view_permission(request):
            raise PermissionDenied

    def page(self, request: HttpRequest, template: str, title: str, context: dict[str, Any]) -> TemplateResponse:
        whole = {
            **self.admin_site.each_context(request),
            "model_admin": self,
            "title": title,
            "content_title": title,
            **context,
        }
        return TemplateResponse(request, f"notifications_admin/{template}", whole)

    def templates_page(self, request: HttpRequest) -> HttpResponse:
        """Look at each template with sample values, and (administrators) send one to oneself."""
        self.check_view(request)
        if request.method == "POST":
            if not request.user.is_superuser:
                raise PermissionDenied
            form = SampleForm(request.POST)
            if form.is_valid():
                event = form.cleaned_data["event"]
                try:
                    row = send_test(by=request.user, payload=sample_payload(event), **form.cleaned_data)
                    messages.success(request, f"Queued for {row.address}.")
                    return HttpResponseRedirect(reverse("admin:notifications_notification_change", args=[row.pk]))
                except APIException as error:
                    messages.error(request, str(error.detail))
        else:
            form = SampleForm(request.GET or None, initial={"event": "created", "channel": "email", "language": "en"})
        chosen = form.cleaned_data if form.is_bound and form.is_valid() else form.initial
        if form.is_bound and not form.is_valid():
            chosen = {name: field.initial for name, field in form.fields.items()}
        choices = {name: cast(forms.ChoiceField, field).choices for name, field in form.fields.items()}
        return self.page(request, "templates.html", "Templates", {"chosen": chosen, "choices": choices})

    def sample_page(self, request: HttpRequest) -> HttpResponse:
        self.check_view(request)
        form = SampleForm(request.GET)
        if not form.is_valid():
            raise Http404
        event = form.cleaned_data["event"]
        election = "" if event == Event.CONFIRMATION else SAMPLE_ELECTION
        sample = Notification(
            election=election, payload=sample_payload(event), user_id=uuid.uuid4(), **form.cleaned_data
        )
        return self.rendered(sample)

    def preview_page(self, request: HttpRequest, notification_id: uuid.UUID) -> HttpResponse:
        self.check_view(request)
        row = Notification.objects.filter(pk=notification_id).first()
        if row is None:
            raise Http404
        if not row.payload:
            return mail_response("", "A code is not kept once it was sent.")
        # Not the reader's own unsubscribe link.
        row.user_id = uuid.uuid4()
        return self.rendered(row)

    def rendered(self, row: Notification) -> HttpResponse:
        try:
            made = render(row)
        except TemplateIncomplete as error:
            return mail_response("", f"This message cannot be rendered: {error} is missing.")
        return mail_response(made.html, made.text)

    def mails_page(self, request: HttpRequest) -> HttpResponse:
        """List the newest mails that were written to files instead of being sent."""
        self.check_view(request)
        folder = Path(settings.NOTIFICATIONS_MAIL_DIR)
        files = sorted(folder.glob("*.eml"), key=lambda file: file.stat().st_mtime, reverse=True)[:SHOWN_MAILS]
        mails = [{"id": file.stem, "headers": read_mail(file)} for file in files]
        is_used = settings.NOTIFICATIONS_EMAIL_PROVIDER == "file"
        return self.page(request, "mails.html", "Mails on this machine", {"mails": mails, "is_used": is_used})

    def mail_page(self, request: HttpRequest, mail_id: uuid.UUID) -> HttpResponse:
        self.check_view(request)
        file = Path(settings.NOTIFICATIONS_MAIL_DIR) / f"{mail_id}.eml"
        if not file.is_file():
            raise Http404
        part = read_mail(file).get_body(("html", "plain"))
        content = part.get_content() if part else ""
        is_html = part is not None and part.get_content_type() == "text/html"
        return mail_response(content) if is_html else mail_response("", content)


def read_mail(file: Path) -> EmailMessage:
    return BytesParser(policy=policy.default).parsebytes(file.read_bytes())


@admin.register(Announcement)
class AnnouncementAdmin(ReadOnlyAdmin):
    list_display = ("event", "election", "recipients", "created_at", "fanned_out_at")
    list_filter = ("event",)
    search_fields = ("election",)
    search_help_text = "An election's ID"


@admin.register(Subscription)
class SubscriptionAdmin(ReadOnlyAdmin):
    list_display = ("user", "shown_election", "shown_events", "shown_channels", "created_at")
    search_fields = ("user__email", "election")
    search_help_text = "User or election"
    list_select_related = ("user",)
    fields = readonly_fields = list_display

    @display(description="Election", ordering="election")
    def shown_election(self, row: Subscription) -> str:
        return copyable(row.election) if row.election else "all"

    @display(description="Events")
    def shown_events(self, row: Subscription) -> str:
        return ", ".join(str(Event(event).label) for event in row.events)

    @display(description="Channels")
    def shown_channels(self, row: Subscription) -> str:
        return ", ".join(str(Channel(channel).label) for channel in row.channels)


@admin.register(Preferences)
class PreferencesAdmin(ReadOnlyAdmin):
    list_display = ("user", "language", "time_zone", "quiet_from", "quiet_until")
    list_filter = ("language",)
    search_fields = ("user__email",)
    search_help_text = "User"
    list_select_related = ("user",)


@admin.register(Contact)
class ContactAdmin(ReadOnlyAdmin):
    list_display = ("user", "channel", "address", "confirmed_at", "suppressed_at", "suppressed_reason")
    list_filter = ("channel", "suppressed_reason")
    search_fields = ("user__email", "address")
    search_help_text = "User or address"
    list_select_related = ("user",)
    exclude = ("code_digest",)


@admin.register(ProviderEvent)
class ProviderEventAdmin(ReadOnlyAdmin):
    list_display = ("received_at", "provider", "kind", "notification")
    list_filter = ("provider", "kind")
    search_fields = ("event_id", "notification__id")
    search_help_text = "An event's or a message's ID"
    list_select_related = ("notification",)
