"""The language of prompts: two syntaxes, literal braces, and what a template may not do."""

import string
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from genai_spine.prompts.sandbox import MAX_OUTPUT_CHARS, Template, TextRefused

NAMES = ("name", "tags")
INF = float("inf")
# Text in which nothing is a variable or a tag of Jinja: no "{" but before a space, a quote or another
# text than a name.
LITERAL = st.lists(
    st.sampled_from(
        ['{"a": 1}', "{ name }", "}", "}}", "{other}", "{}", "{1}", " x ", "\n", '{"b": {"c": []}}']
    )
    | st.text(string.printable.replace("{", "").replace("\r", "").replace("\x0b", "").replace("\x0c", "")),
    max_size=6,
).map(" ".join)
VALUE = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)


def rendered(source: str, **values) -> str:
    return Template(source, tuple(values)).render(values)


def refusal(source: str, **values) -> str:
    with pytest.raises(TextRefused) as caught:
        rendered(source, **values)
    return str(caught.value)


@given(LITERAL, LITERAL, VALUE)
def test_both_syntaxes_give_the_value_and_leave_every_other_brace_alone(before, after, value):
    for variable in ("{name}", "{{name}}", "{{ name }}"):
        whole = f"{before} {variable} {after}"
        assert rendered(whole, name=value) == f"{before} {value} {after}"


@given(LITERAL)
def test_text_without_variables_stays_as_it_is(text):
    assert rendered(text, name="x") == text
    assert rendered(f"{{% if name %}}{text}{{% endif %}}", name="x") == text


@given(st.text("{}% #name\"'|", max_size=20), VALUE)
def test_a_value_is_never_a_template(value, other):
    assert rendered("{name}{{ name }}{{ other }}", name=value, other=other) == f"{value}{value}{other}"


@given(st.text("{}%#-+ name\n\"'|", max_size=40))
def test_any_text_is_rendered_or_refused_with_words(source):
    with suppress(TextRefused):
        assert isinstance(Template(source, NAMES).render({"name": "x", "tags": ["a"]}), str)


@pytest.mark.parametrize(
    ("source", "text"),
    [
        ('{"a": {name}}', '{"a": v}'),
        ('{"a": {{ name }}}', '{"a": v}'),
        ("{name}{name}", "vv"),
        ("{% raw %}{name} {{ name }}{% endraw %}", "{name} {{ name }}"),
        ("{% if name == 'v' %}{name}{% else %}no{% endif %}", "v"),
        ("{# {name} #}", ""),
        ("{{ '{name}' }}", "{name}"),
        ("{% for tag in tags %}{tag}{{ tag }}{% endfor %}", "{tag}a{tag}b"),
        ("{tags}", "a, b"),
        ("{{ tags | join('/') }}", "a/b"),
        ("{{ tags | tojson }}", '["a", "b"]'),
        ("{{ none }}{{ true }}{{ 1.5 }}", "true1.5"),
        ("{{ {'a': [1, 'ä']} }}", '{"a": [1, "ä"]}'),
        ("{{ [[1], 2] }}", "[[1], 2]"),
        ("<{{ name }}>&", "<v>&"),
        ("{{ name }}\n", "v\n"),
        ("{{ name.missing }}", ""),
    ],
)
def test_what_templates_say(source, text):
    assert rendered(source, name="v", tags=["a", "b"]) == text


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("a\n{{ nobody }}", "line 2: variable 'nobody' is not declared"),
        ("{% for x in tags %}{{ x }}{% endfor %}{{ x }}", "variable 'x' is not declared"),
        ("{{ name | shout }}", "line 1: there is no filter 'shout'"),
        ("{% if name is loud %}{% endif %}", "there is no test 'loud'"),
        ("\n\n{% if name %}", "line 3: "),
        ("{{ name", "line 1: "),
        ("{{ name | attr('x') }}", "there is no filter 'attr'"),
        ("{% include 'x' %}", "include is not offered"),
        ("{% import 'x' as y %}", "import is not offered"),
        ("{% extends 'x' %}", "extends is not offered"),
        ("{% block x %}{% endblock %}", "block is not offered"),
        ("{{ " + "(" * 5000, "nested too deeply"),
        ("{name}" * 5000, "more than 10000 words"),
        ("{{ [" + "name," * 9999 + "] }}", "more than 10000 words"),
        ("{% if name %}" * 100 + "{% endif %}" * 100, "nested too deeply"),
        ("{{ name." + ".".join("a" * 100) + " }}", "nested too deeply"),
    ],
)
def test_what_cannot_be_used_is_refused_when_it_is_compiled(source, words):
    with pytest.raises(TextRefused) as caught:
        Template(source, NAMES)
    assert words in str(caught.value)


@pytest.mark.parametrize(
    "source",
    [
        "{{ ''.__class__ }}",
        "{{ ''['__class__'] }}",
        "{{ ''['__cl' ~ 'ass__'].mro() }}",
        "{{ name.__init__.__globals__ }}",
        "{{ (name | string).__class__ }}",
        "{{ name.format_map({'x': name}).__class__ }}",
        "{% set x = cycler %}",
        "{{ lipsum.__globals__ }}",
        "{{ self.__dict__ }}",
        "{{ range.__self__ }}",
        "{{ tags.append('c') }}",
        "{% for x in tags recursive %}{{ loop.__class__ }}{% endfor %}",
    ],
)
def test_the_sandbox_has_no_way_out(source):
    assert refusal(source, name="v", tags=["a"])


def test_a_format_sees_no_attribute_of_what_it_formats():
    for source in ("{{ '<{0.__class__}>'.format(name) }}", "{{ '{0[__class__]}'.format(name) }}"):
        with pytest.raises(TextRefused):
            rendered(source, name="v")


@pytest.mark.parametrize("text", ["{{ 'a' * 10 }}", "{{ 'a' | center(9) }}", "{{ 2 ** 3 }}", "{{ [1] * 3 }}"])
def test_nothing_is_computed_while_a_template_is_compiled(text):
    huge = text.replace("10", "10 ** 12").replace("9", "10 ** 12").replace("3", "10 ** 12")
    assert Template(huge, ()).cost({}) == INF


@pytest.mark.parametrize(
    "source",
    [
        "{% for i in range(9) %}{% endfor %}",
        "{% set x = name ~ name %}",
        "{% macro m() %}{{ m() }}{% endmacro %}",
        "{{ name * 9 }}",
        "{{ name % 9 }}",
        "{{ name | center(99999999) }}",
        "{{ name | replace('a', name) }}",
        "{{ name | join(name) }}",
        "{{ name | list }}",
        "{{ name | join(',') | join(',') }}",
        "{{ name.center(9) }}",
        "{% for x in tags recursive %}{{ loop(tags) }}{% endfor %}",
        "{% filter upper %}{% endfilter %}",
        "{% call name() %}{% endcall %}",
        "{{ [[name, name], name] }}",
    ],
)
def test_work_that_nothing_bounds_costs_infinitely(source):
    assert Template(source, NAMES).cost({"name": "x", "tags": []}) == INF


def test_cost_grows_with_values_and_loops():
    assert Template("{name} {{ name }}", NAMES).cost({"name": "x" * 10**6}) == 0
    assert Template("{tags}{tags}", NAMES).cost({"tags": ["x"] * 10**6}) > 2 * 10**6
    upper = Template("{{ name | upper }}", NAMES)
    assert 10**6 < upper.cost({"name": "x" * 10**6}) < 2 * 10**6
    loop = Template("{% for tag in tags %}{{ tag | upper }}{% endfor %}", NAMES)
    assert loop.cost({"tags": ["a"] * 5}) < 10_000
    assert loop.cost({"tags": ["a"] * 5000}) > 10_000_000
    nested = Template("{% for a in tags %}{% for b in tags %}{{ b }}{% endfor %}{% endfor %}", NAMES)
    assert nested.cost({"tags": ["a"] * 1000}) > 10_000_000


def test_output_is_bounded():
    values = {"name": "x" * (MAX_OUTPUT_CHARS // 3)}
    assert "makes more than" in refusal("{name}" * 4, **values)


def test_a_failure_says_the_line_and_the_reason():
    assert refusal("a\nb\n{{ name + 1 }}", name="v").startswith("line 3: ")


@pytest.mark.parametrize("source", ["{#", "Hello {#", "{# a #}{#", "one\n{#"])
def test_a_comment_without_an_end_is_refused(source: str) -> None:
    with pytest.raises(TextRefused, match="comment"):
        Template(source, [])


@pytest.mark.parametrize(
    "source",
    [
        "a\r\nb {name}\r\n",
        "mixed\r\nand\nlone\r{{ name }}\r",
        '{"k": 1}\r\n{{ name }}\r\n\r\n',
        "{name}\x1c\r\n\x1d",
        "\u2028{name}\r\n\u2029\x85",
        "😀\r\n{name}",
    ],
)
def test_line_ends_of_a_template_stay_as_they_are(source):
    assert rendered(source, name="v\r\nw") == source.replace("{{ name }}", "{name}").replace(
        "{name}", "v\r\nw"
    )


def test_line_ends_within_braces_are_white_space():
    assert rendered("{%\r\nif name\r\n%}yes\r\n{% endif %}{{\r\n name\r}}", name="v") == "yes\r\nv"
    assert rendered('{{ "q\r\nw" }}', name="v") == "q\r\nw"
    assert refusal("a\r\n{% if %}", name="v").startswith("line 2:")
