"""Protobuf schemas: texts and descriptors, and what a message may become (K79)."""

from __future__ import annotations

import pytest

from pillarbox.ops.registry.formats import FORMATS, InvalidSchema, Known
from tests.registry.needs import REGISTRY

pytestmark = [pytest.mark.row("K79"), REGISTRY]

PROTOBUF = FORMATS["PROTOBUF"]
WHOLE = """
// A comment.
syntax = "proto3";
package shop.v1; /* another
one */
import "google/protobuf/timestamp.proto";
import public "item.proto";
option java_package = "a" "b";
message Order {
  option deprecated = true;
  optional int32 id = 1 [deprecated = true, (x.y).z = {a: 1, b: [1, 2], [c.d/e]: {f: 'g'}}];
  repeated string message = 2;
  map<string, State> states = 0x3;
  google.protobuf.Timestamp at = 4;
  .shop.Item item = 5;
  oneof choice { string word = 6; int64 number = 7; }
  reserved 9, 11 to 12, 100 to max;
  reserved "foo", "bar";
  message Inner { Order outer = 1; enum Kind { option allow_alias = true; A = 0; B = 0; } }
  enum State { NEW = 0; OLD = -1; reserved 5 to 7; }
  Inner.Kind kind = 8;
}
service Shop {
  rpc Buy (stream Order) returns (Order.Inner) { option x = -1.5e3; }
  rpc Go (Order) returns (stream Order);
}
"""
ITEM = Known("item.proto", 'syntax = "proto3"; package shop; message Item { string what = 1; }')


def message(*fields: str, syntax: str = "proto3") -> str:
    others = "message N {} message O {} enum E { Z = 0; }"
    return f'syntax = "{syntax}"; message M {{ {" ".join(fields)} }} {others}'


def test_a_text_and_the_descriptor_made_of_it_are_the_same() -> None:
    parsed = PROTOBUF.parse(WHOLE, [ITEM])
    serialized = PROTOBUF.rendered(WHOLE, [ITEM], "serialized")
    again = PROTOBUF.parse(serialized, [ITEM])
    again.tree.name = parsed.tree.name
    assert again.tree == parsed.tree
    assert PROTOBUF.rendered(serialized, [ITEM], "serialized") == serialized
    assert PROTOBUF.rendered(WHOLE, [ITEM], "") == WHOLE
    assert PROTOBUF.differences(parsed.tree, again.tree) == []
    order = parsed.tree.message_type[0]
    assert [field.number for field in order.field] == [1, 2, 3, 4, 5, 6, 7, 8]
    assert order.field[4].type_name == ".shop.Item"
    assert parsed.tree.service[0].method[0].client_streaming


def test_space_and_comments_make_no_other_schema() -> None:
    one, two = message("int32 a = 1;"), message("int32 /* b */ a=1 ;  // c\n")
    assert PROTOBUF.parse(one).identity == PROTOBUF.parse(two).identity
    assert (
        PROTOBUF.parse(one).identity != PROTOBUF.parse(message("int32 a = 1 [deprecated = true];")).identity
    )


@pytest.mark.parametrize(
    ("now", "then", "compatible"),
    [
        ("int64 a = 1;", "int32 a = 1;", True),
        ("bool a = 1;", "uint64 a = 1;", True),
        ("E a = 1;", "int32 a = 1;", True),
        ("sint32 a = 1;", "int32 a = 1;", False),
        ("sfixed32 a = 1;", "fixed32 a = 1;", True),
        ("float a = 1;", "fixed32 a = 1;", False),
        ("bytes a = 1;", "string a = 1;", True),
        ("N a = 1;", "N a = 1;", True),
        ("O a = 1;", "N a = 1;", False),
        ("N a = 1;", "string a = 1;", False),
        ("int32 b = 1;", "int32 a = 1;", True),
        ("int32 b = 2;", "int32 a = 1;", True),
        ("repeated string a = 1;", "string a = 1;", True),
        ("repeated int32 a = 1;", "int32 a = 1;", False),
        ("map<string, int64> a = 1;", "map<string, int32> a = 1;", True),
        ("map<string, string> a = 1;", "map<string, int32> a = 1;", False),
        ("oneof x { int32 a = 1; }", "int32 a = 1;", True),
        ("oneof x { int32 a = 1; int32 b = 2; }", "int32 a = 1; int32 b = 2;", False),
        ("oneof x { int32 a = 1; int32 b = 2; }", "oneof x { int32 a = 1; } int32 b = 2;", True),
        ("", "message I {}", False),
        ("message I {}", "", True),
    ],
)
def test_rules(now: str, then: str, compatible: bool) -> None:
    """Source: Protocol Buffers, "Updating a message type"."""
    found = PROTOBUF.differences(PROTOBUF.parse(message(now)).tree, PROTOBUF.parse(message(then)).tree)
    assert (not found) == compatible, found


def test_required_fields_have_to_have_been_written() -> None:
    trees = {
        label: PROTOBUF.parse(message(f"{label} int32 a = 1;", syntax="proto2")).tree
        for label in ("required", "optional")
    }
    assert PROTOBUF.differences(trees["required"], trees["optional"])
    assert not PROTOBUF.differences(trees["optional"], trees["required"])
    other = PROTOBUF.parse(f"{message()} // as before").tree
    other.package = "other"
    assert PROTOBUF.differences(other, PROTOBUF.parse(message()).tree)


@pytest.mark.parametrize(
    "schema",
    [
        *("AAAA", "message", "syntax = 'proto4';", 'import "x.proto";', "(" * 5000, "/*"),
        *(
            message(field)
            for field in (
                "Nothing a = 1;",
                "int32 a = 1; int32 b = 1;",
                "int32 a = 1; int32 a = 2;",
                "int32 a = 0;",
                "int32 a = 1.5;",
                "int32 a = 08;",
                "int32 a = 536870912;",
                "int32 a = 19000;",
                "required int32 a = 1;",
                "oneof x { repeated int32 a = 1; }",
                "map<double, int32> a = 1;",
                "reserved 1; int32 a = 1;",
                'reserved "a"; int32 a = 1;',
                "enum F { A = 1; }",
                "enum F { A = 4294967296; }",
            )
        ),
        message("int32 a = 1;", syntax="proto2"),
        'syntax = "proto3"; import "google/protobuf/nothing.proto";',
        'syntax = "proto3";' + " " * (256 << 10),
        'syntax = "proto3"; ' + "message M { " * 500 + "}" * 500,
    ],
    ids=lambda schema: str(schema)[:80],
)
def test_what_is_no_schema(schema: str) -> None:
    with pytest.raises(InvalidSchema):
        PROTOBUF.parse(schema)
