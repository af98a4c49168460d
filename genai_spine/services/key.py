"""KeyService: keys of callers."""

from genai_spine import http_answer
from genai_spine.access.keys import KeyLibrary
from genai_spine.call import Call
from genai_spine.v1 import key_service_pb2 as pb


class KeyService:
    """RPCs of keys; see access/keys.py for their errors."""

    def __init__(self, keys: KeyLibrary) -> None:
        self.keys = keys

    async def CreateKey(self, request: pb.CreateKeyRequest, call: Call) -> pb.KeySecret:
        """New key with its secret; HTTP status 201."""
        made = await self.keys.create(request, call)
        http_answer.answered(call, 201)
        return made

    async def ListKeys(self, request: pb.ListKeysRequest, call: Call) -> pb.ListKeysResponse:
        """Page of keys."""
        return await self.keys.page(request, call)

    async def GetKey(self, request: pb.GetKeyRequest, call: Call) -> pb.ApiKey:
        """Key by id."""
        return await self.keys.get(request, call)

    async def UpdateKey(self, request: pb.UpdateKeyRequest, call: Call) -> pb.ApiKey:
        """Change of a key."""
        return await self.keys.change(request, call)

    async def RotateKey(self, request: pb.RotateKeyRequest, call: Call) -> pb.KeySecret:
        """Key with its next secret."""
        return await self.keys.rotate(request, call)

    async def RevokeKey(self, request: pb.RevokeKeyRequest, call: Call) -> pb.ApiKey:
        """End of a key."""
        return await self.keys.revoke(request, call)
