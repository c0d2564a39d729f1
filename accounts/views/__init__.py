"""REST of `accounts`: sign-in, tokens, and the admin API over users."""

from accounts.views.admin import AdminMetricsView, AdminUsersView, AdminUserView
from accounts.views.session import BackchannelLogoutView, JwksView, LogoutView, MeView, RefreshView, RevokeView
from accounts.views.sign_in import CallbackView, LoginView
from accounts.views.staff import StaffLoginView, StaffLogoutView

__all__ = [
    "AdminMetricsView",
    "AdminUserView",
    "AdminUsersView",
    "BackchannelLogoutView",
    "CallbackView",
    "JwksView",
    "LoginView",
    "LogoutView",
    "MeView",
    "RefreshView",
    "RevokeView",
    "StaffLoginView",
    "StaffLogoutView",
]
