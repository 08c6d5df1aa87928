"""A small stand-in for grpcurl: the options that README.md uses, by server reflection, with grpcurl's output.

Usage: grpcurl.py -plaintext [-H 'name: value'] [-d JSON|@] [-max-time SECONDS] ADDRESS list [SERVICE]
       grpcurl.py ...                                                              ADDRESS describe [SYMBOL]
       grpcurl.py ...                                                              ADDRESS SERVICE/METHOD
"""

import argparse
import json
import re
import sys

import grpc
from google.protobuf import any_pb2, descriptor, json_format
from google.rpc import error_details_pb2  # noqa: F401: makes status details readable
from grpc_status import rpc_status

import reflection


def main():
    parser = argparse.ArgumentParser(prog="grpcurl", allow_abbrev=False)
    parser.add_argument("-plaintext", "--plaintext", action="store_true", required=True)
    parser.add_argument("-H", "-rpc-header", action="append", default=[], metavar="'NAME: VALUE'")
    parser.add_argument("-d", default="", metavar="JSON")
    parser.add_argument("-max-time", type=float, default=10)
    parser.add_argument("address")
    parser.add_argument("action", nargs="+", metavar="list | describe | METHOD")
    options = parser.parse_args()
    with reflection.connect(options.address) as channel:
        services = reflection.Services(channel)
        try:
            return run(services, options)
        except KeyError as error:
            print(f"Error: the server does not know {error}", file=sys.stderr)
        except json_format.ParseError as error:
            print(f"Error invoking method {options.action[0]!r}: {error}", file=sys.stderr)
        except grpc.RpcError as error:
            print_error(error)
            return 64 + error.code().value[0]
    return 1


def run(services, options):
    match options.action:
        case ["list"]:
            print("\n".join(services.names()))
        case ["list", service]:
            for method in services.pool.FindServiceByName(service).methods:
                print(f"{service}.{method.name}")
        case ["describe"]:
            for service in services.names():
                print(describe(services, service))
        case ["describe", symbol]:
            print(describe(services, symbol))
        case [method]:
            call, request = services.prepare(services.method(method))
            text = sys.stdin.read() if options.d == "@" else options.d
            answer = call(
                json_format.Parse(text or "{}", request()),
                metadata=[header(text) for text in options.H],
                timeout=options.max_time,
            )
            print(to_json(answer, services.pool))
        case _:
            print("Too many arguments.", file=sys.stderr)
            return 2
    return 0


def to_json(message, pool):
    text = json_format.MessageToJson(message, descriptor_pool=pool)
    # A google.protobuf.Value holds doubles; grpcurl writes whole ones without a fraction.
    whole = lambda text: int(float(text)) if float(text).is_integer() else float(text)
    return json.dumps(json.loads(text, parse_float=whole), indent=2, ensure_ascii=False)


def header(text):
    name, _, value = text.partition(":")
    return name.strip().lower(), value.strip()


def describe(services, symbol):
    """A service, method or message in the words of its proto file."""
    try:
        service = services.pool.FindServiceByName(symbol)
    except KeyError:
        pass
    else:
        methods = "".join(f"  {declaration(method)}\n" for method in service.methods)
        return f"{symbol} is a service:\nservice {service.name} {{\n{methods}}}"
    try:
        message = services.pool.FindMessageTypeByName(symbol)
    except KeyError:
        return f"{symbol} is a method:\n{declaration(services.method(symbol))}"
    fields = "".join(f"  {field_declaration(field)}\n" for field in message.fields)
    return f"{symbol} is a message:\nmessage {message.name} {{\n{fields}}}"


def declaration(method):
    return (
        f"rpc {method.name} ( .{method.input_type.full_name} ) returns ( .{method.output_type.full_name} );"
    )


def field_declaration(field):
    if field.message_type or field.enum_type:
        kind = "." + (field.message_type or field.enum_type).full_name
    else:
        names = {
            value: name[len("TYPE_") :].lower()
            for name, value in vars(descriptor.FieldDescriptor).items()
            if name.startswith("TYPE_")
        }
        kind = names[field.type]
    return f"{'repeated ' if field.is_repeated else ''}{kind} {field.name} = {field.number};"


def print_error(error):
    code = re.sub(r"_?([A-Z])([A-Z]*)", lambda part: part[1] + part[2].lower(), error.code().name)
    print(f"ERROR:\n  Code: {code}\n  Message: {error.details()}", file=sys.stderr)
    rich = rpc_status.from_call(error)
    if rich is None or not rich.details:
        return
    print("  Details:", file=sys.stderr)
    for number, detail in enumerate(rich.details, 1):
        assert isinstance(detail, any_pb2.Any)
        text = json_format.MessageToJson(detail, indent=2)
        print(f"  {number})\t" + text.replace("\n", "\n    \t"), file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())
