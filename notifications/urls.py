"""REST routes of `notifications`."""

from django.urls import path

from notifications import views

urlpatterns = [
    path("notifications", views.NotificationListView.as_view(), name="notifications"),
    path("notifications/status/<uuid:job_id>", views.NotificationStatusView.as_view(), name="notification-status"),
    path("notifications/preferences", views.PreferencesView.as_view(), name="notification-preferences"),
    path("notifications/subscriptions", views.SubscriptionListView.as_view(), name="subscriptions"),
    path("notifications/subscriptions/<int:subscription_id>", views.SubscriptionView.as_view(), name="subscription"),
    path("notifications/contacts", views.ContactListView.as_view(), name="contacts"),
    path("notifications/contacts/<str:channel>", views.ContactView.as_view(), name="contact"),
    path(
        "notifications/contacts/<str:channel>/confirm",
        views.ContactConfirmView.as_view(),
        name="confirm-contact",
    ),
    path("notifications/unsubscribe/<str:token>", views.unsubscribe_page, name="unsubscribe"),
    path("notifications/webhooks/sendgrid", views.SendGridWebhookView.as_view(), name="sendgrid-webhook"),
    path(
        "notifications/webhooks/twilio/<uuid:notification_id>",
        views.TwilioWebhookView.as_view(),
        name="twilio-webhook",
    ),
]
