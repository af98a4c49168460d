"""What a new session is, and what may be kept with it."""

import pytest
from google.protobuf.struct_pb2 import Struct

from genai_spine.errors import InvalidFields
from genai_spine.sessions.sessions import MAX_METADATA_CHARS, _system_message, check_metadata, new_session


def test_sessions_have_ids_of_their_own_and_metadata_that_is_an_object():
    one, other = new_session(model="m"), new_session(model="m")
    assert one.id != other.id
    assert one.HasField("metadata")
    assert one.created_at == one.updated_at


def test_system_message_has_the_same_id_each_time():
    session = new_session(model="m", system_prompt="S")
    message = _system_message(session)
    assert message == _system_message(session)
    assert (message.role, message.content, message.model) == ("system", "S", "m")
    assert message.id not in (session.id, _system_message(new_session(model="m")).id)
    assert not message.HasField("sequence")


def test_metadata_is_measured_as_json():
    fits = Struct()
    fits["t"] = "x" * (MAX_METADATA_CHARS - len('{"t": ""}'))
    check_metadata(fits)
    fits["t"] += "x"
    with pytest.raises(InvalidFields) as raised:
        check_metadata(fits, "session.metadata")
    assert raised.value.violations[0][0] == "session.metadata"
