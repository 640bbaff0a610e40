"""The messages of etcd's v3 API that paasd speaks."""

from typing import Any, Final

from paasd.protobuf import message_classes

EQUAL: Final = 0
GREATER: Final = 1
DEACTIVATE: Final = 2
NO_SPACE: Final = 1
CREATE: Final = 1  # compare a key's create_revision; 0 is that of a key that does not exist

_classes: Final = message_classes("""
ResponseHeader
  1 uint64 cluster_id
  2 uint64 member_id
  3 int64 revision
  4 uint64 raft_term
KeyValue
  1 bytes key
  2 int64 create_revision
  3 int64 mod_revision
  4 int64 version
  5 bytes value
Event
  1 int32 type
  2 KeyValue kv
RangeRequest
  1 bytes key
  2 bytes range_end
  3 int64 limit
  5 int32 sort_order
  6 int32 sort_target
  7 bool serializable
  8 bool keys_only
  9 bool count_only
RangeResponse
  1 ResponseHeader header
  2 repeated KeyValue kvs
  3 bool more
  4 int64 count
PutRequest
  1 bytes key
  2 bytes value
DeleteRangeRequest
  1 bytes key
  2 bytes range_end
DeleteRangeResponse
  1 ResponseHeader header
  2 int64 deleted
RequestOp
  1 RangeRequest request_range
  2 PutRequest request_put
  3 DeleteRangeRequest request_delete_range
ResponseOp
  1 RangeResponse response_range
Compare
  1 int32 result
  2 int32 target
  3 bytes key
  5 present int64 create_revision
TxnRequest
  1 repeated Compare compare
  2 repeated RequestOp success
  3 repeated RequestOp failure
TxnResponse
  1 ResponseHeader header
  2 bool succeeded
  3 repeated ResponseOp responses
CompactionRequest
  1 int64 revision
  2 bool physical
CompactionResponse
  1 ResponseHeader header
WatchCreateRequest
  1 bytes key
  2 bytes range_end
  3 int64 start_revision
WatchRequest
  1 WatchCreateRequest create_request
WatchResponse
  1 ResponseHeader header
  2 int64 watch_id
  3 bool created
  4 bool canceled
  5 int64 compact_revision
  11 repeated Event events
Member
  1 uint64 ID
  2 string name
  3 repeated string peerURLs
  4 repeated string clientURLs
  5 bool isLearner
MemberListRequest
MemberListResponse
  1 ResponseHeader header
  2 repeated Member members
MemberAddRequest
  1 repeated string peerURLs
  2 bool isLearner
MemberAddResponse
  1 ResponseHeader header
  2 Member member
MemberRemoveRequest
  1 uint64 ID
MemberPromoteRequest
  1 uint64 ID
MembersResponse
  1 ResponseHeader header
  2 repeated Member members
StatusRequest
StatusResponse
  1 ResponseHeader header
  2 string version
  3 int64 dbSize
  4 uint64 leader
  5 uint64 raftIndex
  6 uint64 raftTerm
  7 uint64 raftAppliedIndex
  8 repeated string errors
  9 int64 dbSizeInUse
  10 bool isLearner
DefragmentRequest
DefragmentResponse
  1 ResponseHeader header
MoveLeaderRequest
  1 uint64 targetID
MoveLeaderResponse
  1 ResponseHeader header
AlarmRequest
  1 int32 action
  2 uint64 memberID
  3 int32 alarm
AlarmMember
  1 uint64 memberID
  2 int32 alarm
AlarmResponse
  1 ResponseHeader header
  2 repeated AlarmMember alarms
""")


def __getattr__(name: str) -> Any:
    try:
        return _classes[name]
    except KeyError:
        raise AttributeError(name) from None
