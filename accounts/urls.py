"""REST routes of `accounts`, and the staff's sign-in, which stands before the Django admin's own."""

from django.urls import path

from accounts import views

urlpatterns = [
    # mozilla-django-oidc's names
    path("auth/login", views.LoginView.as_view(), name="oidc_authentication_init"),
    path("auth/callback", views.CallbackView.as_view(), name="oidc_authentication_callback"),
    path("auth/logout", views.LogoutView.as_view(), name="oidc_logout"),
    path("auth/refresh", views.RefreshView.as_view(), name="auth_refresh"),
    path("auth/revoke", views.RevokeView.as_view(), name="auth_revoke"),
    path("auth/me", views.MeView.as_view(), name="auth_me"),
    path("auth/backchannel-logout", views.BackchannelLogoutView.as_view(), name="auth_backchannel_logout"),
    path(".well-known/jwks.json", views.JwksView.as_view(), name="jwks"),
    path("admin/users", views.AdminUsersView.as_view(), name="admin_users"),
    path("admin/users/<uuid:user_id>", views.AdminUserView.as_view(), name="admin_user"),
    path("admin/metrics", views.AdminMetricsView.as_view(), name="admin_metrics"),
    path("admin/login/", views.StaffLoginView.as_view()),
    path("admin/logout/", views.StaffLogoutView.as_view()),
]
