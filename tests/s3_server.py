"""An S3 server of a test's own, on this machine."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import boto3
from moto.server import ThreadedMotoServer

BUCKET = "everlearn"


@contextmanager
def bucket() -> Iterator[dict[str, str]]:
    """The environment in which boto3 finds a server with one empty bucket; it ends with it."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    environ = {
        "AWS_ENDPOINT_URL_S3": f"http://{host}:{port}",
        "AWS_ACCESS_KEY_ID": "tester",
        "AWS_SECRET_ACCESS_KEY": "only here",
        "AWS_DEFAULT_REGION": "us-east-1",
    }
    try:
        client(environ).create_bucket(Bucket=BUCKET)
        yield environ
    finally:
        server.stop()


def client(environ: dict[str, str]):
    """boto3's client for the server that `environ` names."""
    return boto3.client(
        "s3",
        endpoint_url=environ["AWS_ENDPOINT_URL_S3"],
        aws_access_key_id=environ["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environ["AWS_SECRET_ACCESS_KEY"],
        region_name=environ["AWS_DEFAULT_REGION"],
    )
