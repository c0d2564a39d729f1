"""The staff's way into the Django admin: eID, or the first admin's password."""

from typing import Any

from django.contrib import admin
from django.http import HttpRequest, HttpResponse, HttpResponseRedirect
from django.shortcuts import render
from django.urls import reverse
from django.utils.decorators import method_decorator
from django.utils.http import url_has_allowed_host_and_scheme
from django.views import View
from django.views.decorators.cache import never_cache
from django.views.decorators.csrf import csrf_protect
from unfold.forms import AuthenticationForm

from accounts.exceptions import TooManyAttempts
from accounts.models import User
from accounts.services import list_providers, record_password_sign_in, record_refusal
from accounts.views.base import limit
from accounts.views.session import sign_out
from accounts.views.sign_in import open_session


@method_decorator([never_cache, csrf_protect], name="dispatch")
class StaffLoginView(View):
    """Offers the eID providers, and a form for the password that `manage.py create_admin` set."""

    def get(self, request: HttpRequest) -> HttpResponse:
        if request.user.is_authenticated and request.user.is_staff:
            return HttpResponseRedirect(next_path(request))
        return self.page(request, AuthenticationForm(request))

    def post(self, request: HttpRequest) -> HttpResponse:
        try:
            limit(request, group="password.address", rate="10/m")
            # By the name that is tried as well: many addresses guess at one account together.
            limit(request, group="password.name", rate="5/m", key="post:username")
        except TooManyAttempts as error:
            record_refusal(code=error.default_code)
            page = self.page(request, AuthenticationForm(request), failure=str(error.detail), status=429)
            page["Retry-After"] = str(error.wait)
            return page
        form = AuthenticationForm(request, data=request.POST)
        if not form.is_valid():
            record_refusal(code="password_refused")
            return self.page(request, form, status=401)
        user = form.get_user()
        assert isinstance(user, User)
        sign_in = record_password_sign_in(user=user)
        open_session(request, sign_in, backend="accounts.backends.PasswordBackend")
        return HttpResponseRedirect(next_path(request))

    def page(self, request: HttpRequest, form: Any, *, failure: str = "", status: int = 200) -> HttpResponse:
        target = next_path(request)
        context = {
            **admin.site.each_context(request),
            "title": "Sign in",
            "form": form,
            "failure": failure,
            "next": target,
            "providers": list_providers(),
            "sign_in_url": reverse("oidc_authentication_init"),
            "is_signed_in_as_citizen": request.user.is_authenticated,
        }
        return render(request, "admin/login.html", context, status=status)


def next_path(request: HttpRequest) -> str:
    """Return the path of this site to go to after sign-in; the admin's index where none is given or it is foreign."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_own = wanted.startswith("/") and url_has_allowed_host_and_scheme(wanted, allowed_hosts=None)
    return wanted if is_own else reverse("admin:index")


@method_decorator([never_cache, csrf_protect], name="dispatch")
class StaffLogoutView(View):
    """Ends the sign-in, and offers the provider's own logout."""

    def get(self, request: HttpRequest) -> HttpResponse:
        return HttpResponse(status=405, headers={"Allow": "POST"})

    def post(self, request: HttpRequest) -> HttpResponse:
        # Asked for first: it is what finds the session's sign-in.
        is_signed_in = request.user.is_authenticated
        url = sign_out(request, getattr(request, "sign_in", None) if is_signed_in else None)
        return render(request, "accounts/signed_out.html", {"provider_logout_url": url})
