"""The other side of the tests of publication: makes buckets and keys, and fetches what was published.

s3.py ENDPOINT make BUCKET: a bucket with a key that may publish into it; from then on requests are authenticated
s3.py ENDPOINT get BUCKET NAME FILE: fetches an object, and prints what it is served with
"""
import json
import os
import sys
import urllib.request

import boto3

MAY = ["s3:ListBucket", "s3:GetObject", "s3:PutObject", "s3:AbortMultipartUpload"]


def client(service):
    key = os.environ.get("AWS_ACCESS_KEY_ID", "operator"), os.environ.get("AWS_SECRET_ACCESS_KEY", "operator")
    return boto3.client(service, endpoint_url=endpoint, region_name="us-east-1",
                        aws_access_key_id=key[0], aws_secret_access_key=key[1])


def make(bucket):
    iam = client("iam")
    client("s3").create_bucket(Bucket=bucket)
    iam.create_user(UserName=bucket)
    on = [f"arn:aws:s3:::{bucket}", f"arn:aws:s3:::{bucket}/*"]
    policy = {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": MAY, "Resource": on}]}
    iam.put_user_policy(UserName=bucket, PolicyName="publish", PolicyDocument=json.dumps(policy))
    key = iam.create_access_key(UserName=bucket)["AccessKey"]
    counts = urllib.request.Request(f"{endpoint}/moto-api/reset-auth", b"0", {"Content-Type": "text/plain"})
    urllib.request.urlopen(counts).read()
    print(json.dumps([key["AccessKeyId"], key["SecretAccessKey"]]))


def get(bucket, name, file):
    found = client("s3").get_object(Bucket=bucket, Key=name)
    with open(file, "wb") as out:
        out.write(found["Body"].read())
    print(json.dumps([found["ContentType"], found["CacheControl"]]))


endpoint, command = sys.argv[1:3]
{"make": make, "get": get}[command](*sys.argv[3:])
