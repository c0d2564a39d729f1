"""REST doors of `notifications`, the unsubscribe page, and the providers' webhooks."""

import uuid
from collections.abc import Mapping
from typing import Any, cast

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.utils import translation
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_http_methods
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.pagination import CursorPagination
from rest_framework.parsers import FormParser
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from accounts.models import User
from accounts.permissions import IsSignedIn
from notifications.exceptions import ContactNotFound, UnsubscribeLinkInvalid
from notifications.models import Channel
from notifications.selectors import (
    get_notification,
    get_preferences,
    get_subscription,
    list_contacts,
    list_notifications,
    list_subscriptions,
)
from notifications.serializers import (
    CodeSerializer,
    ContactSerializer,
    EmailContactSerializer,
    NotificationPageSerializer,
    NotificationStatusSerializer,
    PreferencesSerializer,
    SmsContactSerializer,
    SubscriptionChangeSerializer,
    SubscriptionCreateSerializer,
    SubscriptionSerializer,
)
from notifications.services import (
    confirm_contact,
    remove_contact,
    save_contact,
    set_preferences,
    subscribe,
    take_sendgrid_events,
    take_twilio_status,
    unsubscribe,
    unsubscribe_by_link,
    update_subscription,
)
from notifications.services.subscribing import language_of_link

CONTACT_SERIALIZERS = {Channel.EMAIL: EmailContactSerializer, Channel.SMS: SmsContactSerializer}


def valid(serializer_class: Any, data: Any) -> dict[str, Any]:
    serializer = serializer_class(data=data)
    serializer.is_valid(raise_exception=True)
    return dict(serializer.validated_data)


def known(channel: str) -> Channel:
    """Read a channel from an address; one that we do not have is not found."""
    if channel not in Channel.values:
        raise ContactNotFound
    return Channel(channel)


def person(request: Request) -> User:
    return cast(User, request.user)


class NotificationPagination(CursorPagination):
    page_size = 50
    max_page_size = 200
    page_size_query_param = "page_size"
    ordering = ("-created_at", "id")


class NotificationListView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read"}

    @extend_schema(
        tags=["Notifications"],
        operation_id="list_notifications",
        parameters=[
            OpenApiParameter("cursor", str, description="From `next` or `previous` of another page."),
            OpenApiParameter("page_size", int, description="At most 200."),
        ],
        responses={200: NotificationPageSerializer},
    )
    def get(self, request: Request) -> Response:
        """List what was sent to you, newest first; administrators see everyone's."""
        paginator = NotificationPagination()
        page = paginator.paginate_queryset(list_notifications(viewer=person(request)), request, view=self) or []
        return paginator.get_paginated_response(NotificationStatusSerializer(page, many=True).data)


class NotificationStatusView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read"}

    @extend_schema(
        tags=["Notifications"], operation_id="get_notification_status", responses={200: NotificationStatusSerializer}
    )
    def get(self, request: Request, job_id: uuid.UUID) -> Response:
        """Show what became of one message; another person's is as unknown as one that never was."""
        found = get_notification(notification_id=job_id, viewer=person(request))
        return Response(NotificationStatusSerializer(found).data)


class PreferencesView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read", "PUT": "notifications:write"}

    @extend_schema(tags=["Notifications"], operation_id="get_preferences", responses={200: PreferencesSerializer})
    def get(self, request: Request) -> Response:
        """Show your language, time zone and quiet hours."""
        return Response(PreferencesSerializer(get_preferences(user=person(request))).data)

    @extend_schema(
        tags=["Notifications"],
        operation_id="set_preferences",
        request=PreferencesSerializer,
        responses={200: PreferencesSerializer},
    )
    def put(self, request: Request) -> Response:
        """Set your language, time zone and quiet hours."""
        saved = set_preferences(user=person(request), **valid(PreferencesSerializer, request.data))
        return Response(PreferencesSerializer(saved).data)


class SubscriptionListView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read", "POST": "notifications:write"}

    @extend_schema(
        tags=["Notifications"], operation_id="list_subscriptions", responses={200: SubscriptionSerializer(many=True)}
    )
    def get(self, request: Request) -> Response:
        """List your subscriptions."""
        return Response(SubscriptionSerializer(list_subscriptions(user=person(request)), many=True).data)

    @extend_schema(
        tags=["Notifications"],
        operation_id="subscribe",
        request=SubscriptionCreateSerializer,
        responses={
            201: SubscriptionSerializer,
            409: OpenApiResponse(description="`subscription_exists`, `address_missing`"),
        },
    )
    def post(self, request: Request) -> Response:
        """Subscribe to events of one election, or of all."""
        made = subscribe(user=person(request), **valid(SubscriptionCreateSerializer, request.data))
        return Response(
            SubscriptionSerializer(made).data,
            status=status.HTTP_201_CREATED,
            headers={"Location": f"/notifications/subscriptions/{made.pk}"},
        )


class SubscriptionView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read", "PUT": "notifications:write", "DELETE": "notifications:write"}

    @extend_schema(tags=["Notifications"], operation_id="get_subscription", responses={200: SubscriptionSerializer})
    def get(self, request: Request, subscription_id: int) -> Response:
        """Show one of your subscriptions."""
        found = get_subscription(subscription_id=subscription_id, user=person(request))
        return Response(SubscriptionSerializer(found).data)

    @extend_schema(
        tags=["Notifications"],
        operation_id="change_subscription",
        request=SubscriptionChangeSerializer,
        responses={200: SubscriptionSerializer},
    )
    def put(self, request: Request, subscription_id: int) -> Response:
        """Change the events and channels of one of your subscriptions."""
        values = valid(SubscriptionChangeSerializer, request.data)
        changed = update_subscription(user=person(request), subscription_id=subscription_id, **values)
        return Response(SubscriptionSerializer(changed).data)

    @extend_schema(tags=["Notifications"], operation_id="unsubscribe", responses={204: None})
    def delete(self, request: Request, subscription_id: int) -> Response:
        """Remove one of your subscriptions."""
        unsubscribe(user=person(request), subscription_id=subscription_id)
        return Response(status=status.HTTP_204_NO_CONTENT)


class ContactListView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read"}

    @extend_schema(tags=["Notifications"], operation_id="list_contacts", responses={200: ContactSerializer(many=True)})
    def get(self, request: Request) -> Response:
        """List your addresses. Without one of your own, mail goes to the address of your sign-in."""
        return Response(ContactSerializer(list_contacts(user=person(request)), many=True).data)


class ContactView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"GET": "notifications:read", "PUT": "notifications:write", "DELETE": "notifications:write"}

    @extend_schema(
        tags=["Notifications"],
        operation_id="set_contact",
        request=EmailContactSerializer,
        responses={202: ContactSerializer, 429: OpenApiResponse(description="`too_many_codes`")},
    )
    def put(self, request: Request, channel: str) -> Response:
        """Set an address: a code is sent there, and nothing else until you confirm it (the opt-in for SMS)."""
        values = valid(CONTACT_SERIALIZERS[known(channel)], request.data)
        saved = save_contact(user=person(request), channel=channel, **values)
        return Response(ContactSerializer(saved).data, status=status.HTTP_202_ACCEPTED)

    @extend_schema(tags=["Notifications"], operation_id="remove_contact", responses={204: None})
    def delete(self, request: Request, channel: str) -> Response:
        """Forget an address; for SMS this opts you out."""
        remove_contact(user=person(request), channel=known(channel))
        return Response(status=status.HTTP_204_NO_CONTENT)

    @extend_schema(tags=["Notifications"], operation_id="get_contact", responses={200: ContactSerializer})
    def get(self, request: Request, channel: str) -> Response:
        """Show your address for a channel."""
        found = list_contacts(user=person(request)).filter(channel=known(channel)).first()
        if found is None:
            raise ContactNotFound
        return Response(ContactSerializer(found).data)


class ContactConfirmView(APIView):
    permission_classes = [IsSignedIn]
    api_key_scopes = {"POST": "notifications:write"}

    @extend_schema(
        tags=["Notifications"],
        operation_id="confirm_contact",
        request=CodeSerializer,
        responses={200: ContactSerializer, 422: OpenApiResponse(description="`code_wrong`")},
    )
    def post(self, request: Request, channel: str) -> Response:
        """Confirm an address by the code that was sent there."""
        confirmed = confirm_contact(user=person(request), channel=known(channel), **valid(CodeSerializer, request.data))
        return Response(ContactSerializer(confirmed).data)


@csrf_exempt
@require_http_methods(["GET", "HEAD", "POST"])
def unsubscribe_page(request: HttpRequest, token: str) -> HttpResponse:
    """Ask once (GET), and end the channel (POST): the mail program's one click (RFC 8058), or the page's button.

    Not a session's business, so no CSRF token: the signed link alone may do this, and nothing else.
    """
    try:
        language, channel = language_of_link(token=token)
        with translation.override(language):
            if request.method == "POST":
                unsubscribe_by_link(token=token)
            context = {"is_done": request.method == "POST", "channel": channel, "language": language}
            return render(request, "notifications/unsubscribe_page.html", context)
    except UnsubscribeLinkInvalid:
        return render(
            request, "notifications/unsubscribe_page.html", {"is_invalid": True, "language": "en"}, status=404
        )


class SendGridWebhookView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]

    @extend_schema(exclude=True)
    def post(self, request: HttpRequest) -> Response:
        """Take SendGrid's signed events."""
        take_sendgrid_events(
            body=request.body,
            signature=request.headers.get("X-Twilio-Email-Event-Webhook-Signature", ""),
            timestamp=request.headers.get("X-Twilio-Email-Event-Webhook-Timestamp", ""),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class TwilioWebhookView(APIView):
    authentication_classes: list[Any] = []
    permission_classes = [AllowAny]
    parser_classes = [FormParser]

    @extend_schema(exclude=True)
    def post(self, request: Request, notification_id: uuid.UUID) -> Response:
        """Take a signed status of Twilio."""
        take_twilio_status(
            notification_id=notification_id,
            path=request.get_full_path(),
            values=cast(Mapping[str, Any], request.data),
            signature=request.headers.get("X-Twilio-Signature", ""),
        )
        return Response(status=status.HTTP_204_NO_CONTENT)
