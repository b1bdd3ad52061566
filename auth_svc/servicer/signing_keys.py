"""The RPC that publishes the keys of access tokens."""

from dataclasses import dataclass

from chatmesh.auth.v1 import auth_pb2 as pb
from chatmesh.auth.v1.auth_pb2_grpc import AuthServiceServicer

from auth_svc import models, signing_keys
from svckit.postgres import Database
from svckit.rpc.call import Context


@dataclass(kw_only=True, eq=False)
class SigningKeyRpcs(AuthServiceServicer):
    """Serves the public halves of the keys."""

    database: Database

    async def ListSigningKeys(self, request: pb.ListSigningKeysRequest, context: Context) -> pb.ListSigningKeysResponse:
        keys = await signing_keys.published(self.database)
        return pb.ListSigningKeysResponse(keys=[_key(key) for key in keys])


def _key(key: models.StoredKey) -> pb.SigningKey:
    return pb.SigningKey(kty="OKP", crv="Ed25519", use="sig", alg="EdDSA", kid=key.kid, x=key.x)
