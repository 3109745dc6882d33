"""What is written by hand of docs/reference/local-api.md; the table of paths is made from the declarations."""

from __future__ import annotations

LOCAL_INTRO = """\
# The local API

<!-- Generated: python -m gateway.cli.reference -->

What an application asks of the gateway beside it: publish, read, and look around. It is spoken in two ways that do the
same: HTTP at `listen.local_http` and gRPC at `listen.local_grpc`, each `host:port` on loopback or `unix:/path`. The
addresses in use are in the line that the gateway prints when it is ready, and in `ports.json` in its state directory.
Both work alike on the embedded log and on Kafka. Python programs have `mesh.sdk`
([how-to](../how-to/use-from-an-application.md)).

    TOKEN=$(head -1 acme/state/local.token)
    curl http://127.0.0.1:7460/v1/topics/departures/records?encoding=json -H "mesh-api-token: $TOKEN" \\
      -H 'Content-Type: application/json' -d '{"records": [{"key": "N14228", "value": {"dep_delay": 2}}]}'
    curl -N http://127.0.0.1:7460/v1/topics/departures/records?encoding=json -H "mesh-api-token: $TOKEN"

Over a Unix socket: `curl --unix-socket /run/mesh/local.sock http://localhost/v1/topics -H "mesh-api-token: $TOKEN"`.

## Who may call

Every request carries a token of `local.token` in the state directory, as `mesh-api-token` or `Authorization: Bearer …`;
`/livez` and `/readyz` need none. The file holds one or two tokens, a line each, and both are valid: to change a token,
write the new one above the old one, tell the applications, then remove the old one. Nothing is restarted. The admin
token is not valid here, nor this one there. A Unix socket can be opened by the gateway's user only.

The API is for programs on the same machine. It answers its own names in `Host` only (`127.0.0.1`, `localhost` or
`[::1]`, with its port; over a socket `localhost`), no foreign `Origin`, and grants no other site any leave (no CORS).

## Refusals

A refusal is `application/problem+json`
([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)):

    {"type": "urn:stream-mesh:topic-absent", "title": "topic absent", "status": 404,
     "detail": "topic 'departure' does not exist on this cluster", "code": "topic-absent",
     "remedy": "create it with: mesh topic create departure", "actor": "caller", "retriable": false}

`code` is stable ([errors](errors.md)); `actor` says who can do something about it; the same request may succeed later
where `retriable` is true. gRPC has the same as `mesh.local.v1.Error` in the trailing metadata `mesh-error-bin`.

| status | when |
|---|---|
| 400 | the request is wrong: its JSON, a field, a parameter, a name |
| 401 | the token is wrong or missing |
| 403 | `Host` or `Origin` is foreign |
| 404 | there is no such path, topic, partition, subscription, cursor or peer |
| 405, 415 | the path has not this method; the body is not `application/json` |
| 408, 413 | the body takes more than 30 s; it, or a record, is too large |
| 409 | what is there stands against it: the topic is mirrored, the cursor is being read, the log has not that offset |
| 502, 503 | a partner broke a rule; something cannot be reached, or is at its limit: try again |
| 500 | a defect of the gateway: its log has it under the number in `detail` |

## Records

Keys, values and header values are bytes. `?encoding=` says how JSON has them, both ways:

| encoding | key, header values | value |
|---|---|---|
| `base64`, where nothing is said | base64 | base64 |
| `text` | text | text |
| `json` | text | any JSON |

`null`, or nothing, is no key or no value, which is not the same as an empty one. What is not of the encoding stands as
base64 in `key_base64` or `value_base64` instead, in both directions: so any record can be read in any encoding. A JSON
value is stored as its compact text and read with the text that is stored, digit by digit.

## Publish

    POST /v1/topics/{topic}/records
    {"records": [{"key": …, "value": …, "headers": [{"name": "source", "value": …}], "timestamp_ms": 1357034400000}]}

Only `records` is needed; a record without a time gets the time of the append. The answer comes when the records are
durable (fsync on the embedded log, `acks=all` on Kafka) and says where they are, in the order of the request:

    {"placed": [{"partition": 0, "first_offset": 17, "count": 1}], "repeated_request": false}

`?partition=` names a partition; otherwise the murmur2 hash of the key chooses one, as Kafka's own clients do, and the
records of a request without a key go together to one. To a topic that a subscription mirrors nobody else may write.

With the header `Idempotency-Key` (1 to 200 printable ASCII characters) a request can be repeated after a broken
connection, or after the gateway was killed: it is appended once, and the repeat is answered as the first time, with
`repeated_request` true. A key is known for `local.idempotency_s` (an hour) at least, unless 100,000 later ones of its
partition came, from the log itself: each record carries it in the header `mesh-idempotency-key`, so another gateway of
the organization knows it, too. A compacted topic may keep none (`keys-not-kept`). A repeat must be the same request:
other records under a key are refused. Where some partitions took their part and others did not (`publish-incomplete`),
or nobody can tell (`publish-unknown`), the repeat appends what is missing, and nothing twice.

A body has at most `local.max_request_bytes` (8 MiB) and 10,000 records. Bodies of 64 MiB are taken at a time, others
wait their turn for up to 30 s; 256 connections may be open.

## Read

    GET /v1/topics/{topic}/records

Committed records from a position on, then as they come in, until the reader leaves. Where each partition begins:
`positions` (`0:120,1:44`: a partition and the offset that is read next), else where `cursor` stands, else `start`
(`earliest` where nothing is said, `latest`, `timestamp:` and milliseconds or ISO 8601). `partitions` (`0,1`) reads only
some. `until_end=true` ends where the topic ended when the request came, `max_records` after so many.

    {"partition": 0, "offset": 17, "timestamp_ms": 1357034400000, "key": "N14228", "value": {"dep_delay": 2},
     "headers": [], "next_offset": 18}

`next_offset` is what to commit once the record is done with; it may be beyond `offset + 1`, where offsets without
records follow. The answer has one of two forms, by `Accept`:

- `application/x-ndjson`: a record a line. An error after the first line is the last line, `{"problem": {…}}`. The
  headers `mesh-positions` (up to 4000 characters of it) and `mesh-lease` say where it begins and what commits.
- `text/event-stream` (server-sent events): `event: begun` with `positions` and `lease`, then a record an event, and
  where it ends `event: end` or `event: problem`. The id of each event says where to go on, of all partitions: a client
  that sends the last one as `Last-Event-ID`, as clients of server-sent events do by themselves, misses nothing and gets
  nothing twice. Of hundreds of partitions the id is too long for a header: read some `partitions` at a time. A comment
  comes every 15 s while there are no records.

A reader that is slow slows its own stream only: nothing is fetched before what was fetched is taken, but
`local.reader_bytes` ahead. A reader that takes nothing for `local.stalled_reader_s` (60) is ended with
`reader-stalled`. `local.max_streams` (64) streams may be open, of both APIs together. When the gateway stops, streams
end with `gateway-stopping`: whoever goes on from where he stands misses nothing.

## Cursors

A cursor is a name under which the gateway keeps where an application stands in a topic. It is a consumer group of the
own cluster: Kafka's tools show it, and `mesh groups` translates it to the partner's cluster. One reader at a time reads
a topic by a cursor; another one is refused with `cursor-in-use`.

    GET /v1/topics/departures/records?cursor=billing       (answers with mesh-lease: 7f3a…)
    POST /v1/cursors/billing/topics/departures/commit
    {"positions": [{"partition": 0, "offset": 18}], "lease": "7f3a…"}

Commit what is done with, not what was read. The lease is that of the stream and ends with it; while nobody reads by the
cursor a commit needs none. An application that keeps its positions itself, in the transaction in which it stores its
results, has each record exactly once: it reads by `positions` and needs no cursor.

## Paths

The whole of it, with the schema of each body and answer, is the OpenAPI 3.1 document
[local-openapi.json](local-openapi.json), which the gateway answers at `/v1/openapi.json`, too; both are made from the
declarations by which requests are checked. A field, or a parameter of the query, that a path does not know is refused.
`?` marks what may be left out. gRPC has the same as the service `mesh.local.v1.Local`
(`proto/mesh/local/v1/local.proto`), with reflection and health, and `PublishMany`, which waits for no answer before the
next request.
"""
