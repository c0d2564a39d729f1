"""The staff's admin over users, identities and sign-ins; every write goes through `accounts.services`."""

from typing import Any

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest
from rest_framework.exceptions import APIException
from unfold.decorators import display

from accounts.admin_base import ReadOnlyAdmin, ReadOnlyInline, StaffAdmin
from accounts.models import Identity, ProviderToken, RefreshToken, RevokedToken, Role, SignIn, User
from accounts.services import create_user, delete_user, end_sign_in, invite, update_user
from audit.admin_base import abbreviated, confirmed, copyable, shorten


class IdentityInline(ReadOnlyInline):
    model = Identity
    fields = ["issuer", "subject", "claimed_email", "is_email_verified", "last_seen_at"]
    readonly_fields = fields


class SignInInline(ReadOnlyInline):
    model = SignIn
    fields = ["method", "provider", "created_at", "expires_at", "revoked_at", "revoked_because"]
    readonly_fields = fields


class UserForm(forms.ModelForm):
    """Refuses what the services refuse, in the form."""

    class Meta:
        model = User
        fields = ["email", "role", "is_active"]
        help_texts = {
            "email": "Links the person's first sign-in, if the eID provider has verified the same address. "
            "Never links one to staff: those take an invitation.",
            "role": "Viewers see everything here and change nothing; administrators change it; citizens stay out.",
            "is_active": "Taken away, the person is signed out everywhere at once and cannot sign in.",
        }


@admin.register(User)
class UserAdmin(StaffAdmin):
    """Users; a change or deletion is the same service call that the API makes, with its rules."""

    form = UserForm
    list_display = ["display_name", "show_role", "is_active", "last_login", "created_at"]
    list_filter = ["role", "is_active", "last_login"]
    search_fields = ["email", "id"]
    search_help_text = "E-mail address or ID"
    ordering = ["-created_at"]
    readonly_fields = ["id", "created_at", "last_login", "deleted_at"]
    inlines = [IdentityInline, SignInInline]
    actions = None

    def get_fields(self, request: HttpRequest, obj: Any = None) -> list[str]:
        return ["email", "role", "is_active", *self.readonly_fields] if obj else ["email", "role"]

    def get_inlines(self, request: HttpRequest, obj: Any) -> list[Any]:
        return self.inlines if obj else []

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_change_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def has_delete_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return super().has_delete_permission(request, obj) and (obj is None or obj.deleted_at is None)

    def formfield_for_choice_field(self, db_field: Any, request: HttpRequest, **kwargs: Any) -> Any:
        match = request.resolver_match
        if db_field.name == "role" and match and str(match.url_name).endswith("_add"):
            kwargs["choices"] = [(Role.VIEWER, Role.VIEWER.label), (Role.ADMIN, Role.ADMIN.label)]
        return super().formfield_for_choice_field(db_field, request, **kwargs)

    @display(description="User", header=True)
    def display_name(self, user: User) -> list[str]:
        return [user.email or "Citizen without e-mail", shorten(str(user.pk))]

    @display(description="Role", label={"Administrator": "danger", "Viewer": "info", "Citizen": "success"})
    def show_role(self, user: User) -> str:
        return user.get_role_display()

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        try:
            if change:
                update_user(
                    actor=acting(request),
                    user_id=obj.pk,
                    email=form.cleaned_data["email"] or None,
                    role=form.cleaned_data["role"],
                    is_active=form.cleaned_data["is_active"],
                )
            else:
                created = create_user(
                    actor=acting(request), email=form.cleaned_data["email"] or "", role=form.cleaned_data["role"]
                )
                obj.pk = created.pk
                obj.refresh_from_db()
                link = invite(user=created)
                messages.info(request, f"Send this invitation to {created.email} yourself; it is shown once: {link}")
        except APIException as error:
            refuse(request, obj, error)

    def delete_model(self, request: HttpRequest, obj: User) -> None:
        try:
            delete_user(actor=acting(request), user_id=obj.pk)
        except APIException as error:
            refuse(request, obj, error)

    def get_deleted_objects(self, objs: Any, request: HttpRequest) -> tuple[Any, Any, Any, Any]:
        # Deletion is soft: nothing that hangs on the user goes with them.
        return [str(user) for user in objs], {"users": len(objs)}, set(), []

    def response_add(self, request: HttpRequest, obj: User, post_url_continue: Any = None) -> Any:
        return self.response_or_back(request, super().response_add, obj, post_url_continue)

    def response_change(self, request: HttpRequest, obj: User) -> Any:
        return self.response_or_back(request, super().response_change, obj)

    def response_delete(self, request: HttpRequest, obj_display: str, obj_id: Any) -> Any:
        return self.response_or_back(request, super().response_delete, obj_display, obj_id)

    def response_or_back(self, request: HttpRequest, respond: Any, *args: Any) -> Any:
        """Answer without Django's message of success when a rule refused the change."""
        if getattr(request, "is_refused", False):
            return self.response_post_save_change(request, None)
        return respond(request, *args)

    def log_addition(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Leave out Django's own admin log: the audit log has the entry."""

    def log_change(self, request: HttpRequest, obj: Any, message: Any) -> None:
        """Leave out Django's own admin log: the audit log has the entry."""

    def log_deletions(self, request: HttpRequest, queryset: Any) -> None:
        """Leave out Django's own admin log: the audit log has the entry."""


def acting(request: HttpRequest) -> User:
    """Return the session's user as a row, not the lazy object around it."""
    return User.objects.get(pk=str(request.user.pk))


def refuse(request: Any, obj: Any, error: APIException) -> None:
    request.is_refused = True
    messages.error(request, str(error.detail))


@admin.register(Identity)
class IdentityAdmin(ReadOnlyAdmin):
    search_help_text = "Subject or e-mail address"
    list_display = ["subject", "issuer", "user", "claimed_email", "is_email_verified", "last_seen_at"]
    list_filter = ["issuer", "is_email_verified"]
    search_fields = ["subject", "claimed_email", "user__email"]
    list_select_related = ["user"]


@admin.register(SignIn)
class SignInAdmin(ReadOnlyAdmin):
    """Sign-ins; an admin may end one, nothing else."""

    list_display = ["created_at", "user", "method", "provider", "expires_at", "show_state"]
    fields = [
        "show_id",
        "user",
        "method",
        "provider",
        "issuer",
        "subject",
        "created_at",
        "expires_at",
        "revoked_at",
        "revoked_because",
    ]
    readonly_fields = fields
    list_filter = ["method", "provider", "created_at", "revoked_because"]
    search_fields = ["id", "user__email", "subject"]
    search_help_text = "E-mail address, the provider's subject, or an ID"
    list_select_related = ["user"]
    date_hierarchy = "created_at"
    actions = ["end"]  # type: ignore[assignment]

    @display(description="ID")
    def show_id(self, sign_in: SignIn) -> str:
        return copyable(sign_in.pk, is_whole=True)

    @display(description="State", label={"live": "success", "revoked": "danger", "over": "warning"})
    def show_state(self, sign_in: SignIn) -> str:
        return sign_in.state

    @admin.action(description="End these sign-ins", permissions=["end"])
    @confirmed("Who is signed in by these is signed out at once, on that device, with all tokens that came from it.")
    def end(self, request: HttpRequest, queryset: Any) -> None:
        actor = f"user:{request.user.pk}"
        for sign_in in queryset.filter(revoked_at=None):
            end_sign_in(sign_in=sign_in, because="ended_by_admin", actor=actor)
        messages.success(request, "The sign-ins are ended.")

    def has_end_permission(self, request: HttpRequest) -> bool:
        return bool(getattr(request.user, "is_admin", False))


@admin.register(ProviderToken)
class ProviderTokenAdmin(ReadOnlyAdmin):
    """When tokens were issued and replaced; never the tokens, sealed or not."""

    list_display = ["issued_at", "show_user", "generation", "expires_at", "replaced_at"]
    list_filter = ["issued_at"]
    list_select_related = ["sign_in__user"]
    fields = ["sign_in", "generation", "issued_at", "expires_at", "replaced_at"]

    @display(description="User")
    def show_user(self, token: ProviderToken) -> str:
        return str(token.sign_in.user)


@admin.register(RefreshToken)
class RefreshTokenAdmin(ReadOnlyAdmin):
    list_display = ["issued_at", "show_user", "expires_at", "used_at"]
    list_filter = ["issued_at", "used_at"]
    list_select_related = ["sign_in__user"]
    fields = ["sign_in", "issued_at", "expires_at", "used_at"]

    @display(description="User")
    def show_user(self, token: RefreshToken) -> str:
        return str(token.sign_in.user)


@admin.register(RevokedToken)
class RevokedTokenAdmin(ReadOnlyAdmin):
    list_display = ["show_jti", "revoked_at", "expires_at"]
    search_fields = ["jti"]
    search_help_text = "A token's ID"

    @display(description="Token ID (jti)", ordering="jti")
    def show_jti(self, token: RevokedToken) -> str:
        return abbreviated(token.jti)
