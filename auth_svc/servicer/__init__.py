"""The RPCs of AuthService, one method each, a file for each resource. Those that are not here are not served yet."""

from dataclasses import dataclass

from auth_svc.servicer.accounts import AccountRpcs
from auth_svc.servicer.administration import AdministrationRpcs
from auth_svc.servicer.api_keys import ApiKeyRpcs
from auth_svc.servicer.identities import IdentityRpcs
from auth_svc.servicer.second_factors import SecondFactorRpcs
from auth_svc.servicer.sessions import SessionRpcs
from auth_svc.servicer.signing_keys import SigningKeyRpcs


@dataclass(kw_only=True, eq=False)
class Auth(AccountRpcs, SessionRpcs, SecondFactorRpcs, IdentityRpcs, ApiKeyRpcs, AdministrationRpcs, SigningKeyRpcs):
    """The whole service: what each resource needs is a field of its own class."""
