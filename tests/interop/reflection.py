"""Calls gRPC methods that are known from server reflection alone: no generated stubs."""

import grpc
from google.protobuf import descriptor_pool, message_factory
from grpc_reflection.v1alpha import proto_reflection_descriptor_database as database


class Services:
    """What a channel's server says about itself."""

    def __init__(self, channel):
        self.channel = channel
        self.database = database.ProtoReflectionDescriptorDatabase(channel)
        self.pool = descriptor_pool.DescriptorPool(self.database)

    def names(self):
        return sorted(self.database.get_services())

    def message(self, name):
        return message_factory.GetMessageClass(self.pool.FindMessageTypeByName(name))

    def method(self, path):
        """The descriptor of a method, named as package.Service/Method or package.Service.Method."""
        service, _, method = path.replace("/", ".").rpartition(".")
        return self.pool.FindServiceByName(service).methods_by_name[method]

    def prepare(self, method):
        """A method as a function, whose answer is one message or a stream of them, and the class of its request."""
        request = message_factory.GetMessageClass(method.input_type)
        response = message_factory.GetMessageClass(method.output_type)
        kind = self.channel.unary_stream if method.server_streaming else self.channel.unary_unary
        call = kind(
            f"/{method.containing_service.full_name}/{method.name}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call, request


def connect(address):
    # Proxies of the environment are for the outside world; the server under test is on this machine.
    return grpc.insecure_channel(address, options=[("grpc.enable_http_proxy", 0)])
