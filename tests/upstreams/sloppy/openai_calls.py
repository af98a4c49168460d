"""Tool calls of chat completions as compatible servers write them: ids, indexes, names and arguments."""

import itertools
import json

from tests.upstreams.sloppy.exchange import Exchange, Table, entry

CALLS: Table = {}


@entry(CALLS, "identity", rare=True)
def same_index_for_all_calls(x: Exchange) -> bool:
    for fragment in itertools.chain(*x.calls):
        fragment["index"] = 0
    return x.as_stream and any(len(said.calls) > 1 for said in x.choices)


@entry(CALLS, "identity")
def no_index(x: Exchange) -> bool:
    for fragment in itertools.chain(*x.calls):
        fragment.pop("index", None)
    return x.as_stream and bool(x.calls)


@entry(CALLS, "identity")
def id_is_empty(x: Exchange) -> bool:
    for fragments in x.calls:
        fragments[0]["id"] = ""
    return bool(x.calls)


@entry(CALLS, "identity")
def id_is_missing(x: Exchange) -> bool:
    for fragments in x.calls:
        del fragments[0]["id"]
    return bool(x.calls)


@entry(CALLS, "identity")
def id_is_null(x: Exchange) -> bool:
    for fragments in x.calls:
        fragments[0]["id"] = None
    return bool(x.calls)


@entry(CALLS, "identity")
def id_is_that_of_another_call(x: Exchange) -> bool:
    for fragments in x.calls:
        fragments[0]["id"] = "call_0"
    return len(x.calls) > 1


@entry(CALLS, "identity")
def id_and_name_in_every_fragment(x: Exchange) -> bool:
    for fragments in x.calls:
        for fragment in fragments[1:]:
            fragment["id"] = fragments[0]["id"]
            fragment["function"]["name"] = fragments[0]["function"]["name"]
    return any(len(fragments) > 1 for fragments in x.calls)


@entry(CALLS, "identity")
def empty_id_and_name_in_later_fragments(x: Exchange) -> bool:
    for fragments in x.calls:
        for fragment in fragments[1:]:
            fragment["id"], fragment["function"]["name"] = "", x.rng.choice(["", None])
    return any(len(fragments) > 1 for fragments in x.calls)


@entry(CALLS, "identity", rare=True)
def name_comes_last(x: Exchange) -> bool:
    fired = False
    for fragments in x.calls:
        if len(fragments) > 1:
            fragments[-1]["function"]["name"] = fragments[0]["function"].pop("name")
            fired = True
    return fired


@entry(CALLS, "identity")
def id_comes_last(x: Exchange) -> bool:
    fired = False
    for fragments in x.calls:
        if len(fragments) > 1:
            fragments[-1]["id"] = fragments[0].pop("id")
            fired = True
    return fired


@entry(CALLS, "identity")
def arguments_are_totals_so_far(x: Exchange) -> bool:
    fired = False
    for fragments in x.calls:
        so_far = ""
        for fragment in fragments[1:]:
            so_far += fragment["function"]["arguments"]
            fragment["function"]["arguments"] = so_far
            fragment |= {"id": fragments[0]["id"]}
            fragment["function"]["name"] = fragments[0]["function"]["name"]
            fired = True
    return fired


@entry(CALLS, "identity", rare=True)
def function_call_of_older_servers(x: Exchange) -> bool:
    fired = False
    if any(len(said.calls) > 1 for said in x.choices):
        return False
    for delta in x.deltas:
        if called := delta.pop("tool_calls", None):
            delta["function_call"] = called[0]["function"]
            fired = True
    return fired


@entry(CALLS, "arguments")
def arguments_are_an_object(x: Exchange) -> bool:
    fired, texts = False, {call.id: call.arguments for said in x.choices for call in said.calls}
    for fragments in x.calls:
        if len(fragments) == 1 and fragments[0]["function"].get("arguments") in texts.values():
            fragments[0]["function"]["arguments"] = json.loads(fragments[0]["function"]["arguments"])
            fired = True
    return fired


@entry(CALLS, "arguments", rare=True)
def no_arguments_for_an_empty_object(x: Exchange) -> bool:
    fired = False
    for fragments in x.calls:
        if len(fragments) == 1 and fragments[0]["function"].get("arguments") == "{}":
            fragments[0]["function"]["arguments"] = x.rng.choice(["", None])
            fired = True
    return fired


@entry(CALLS)
def call_without_function_around_it(x: Exchange) -> bool:
    if any("function_call" in delta for delta in x.deltas):
        return False
    for fragment in itertools.chain(*x.calls):
        fragment |= fragment.pop("function")
    return bool(x.calls)


@entry(CALLS)
def type_of_call_is_missing(x: Exchange) -> bool:
    for fragments in x.calls:
        fragments[0].pop("type", None)
    return bool(x.calls)
