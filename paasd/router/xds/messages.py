"""The messages of Envoy's v3 API that the router uses, with just the fields that it uses.

Enumerations travel as integers; the few values in use are named below. Messages with the same fields share a class
(`Duration` serves for timestamps too).
"""

from typing import Any, Final

from paasd.protobuf import message_classes

_CLASSES = message_classes(
    """
Any
  1 string type_url
  2 bytes value
Duration
  1 int64 seconds
  2 int32 nanos
UInt32Value
  1 uint32 value
BoolValue
  1 bool value
Value
  3 string string_value
  4 bool bool_value
Struct
  1 map Value fields
Empty
Status
  1 int32 code
  2 string message
DeltaDiscoveryRequest
  2 string type_url
  3 repeated string resource_names_subscribe
  4 repeated string resource_names_unsubscribe
  5 map string initial_resource_versions
  6 string response_nonce
  7 Status error_detail
Resource
  1 string version
  2 Any resource
  3 string name
DeltaDiscoveryResponse
  1 string system_version_info
  2 repeated Resource resources
  4 string type_url
  5 string nonce
  6 repeated string removed_resources
ConfigSource
  3 Empty ads
  4 Duration initial_fetch_timeout
  6 uint32 resource_api_version
EdsClusterConfig
  1 ConfigSource eds_config
  2 string service_name
LbSubsetSelector
  1 repeated string keys
  2 uint32 fallback_policy
  4 bool single_host_per_subset
LbSubsetConfig
  1 uint32 fallback_policy
  3 repeated LbSubsetSelector subset_selectors
Thresholds
  2 UInt32Value max_connections
  3 UInt32Value max_pending_requests
  4 UInt32Value max_requests
  5 UInt32Value max_retries
CircuitBreakers
  1 repeated Thresholds thresholds
TransportSocket
  1 string name
  3 Any typed_config
TransportSocketMatch
  1 string name
  2 Struct match
  3 TransportSocket transport_socket
HttpHealthCheck
  1 string host
  2 string path
  10 uint32 codec_client_type
HealthCheck
  1 Duration timeout
  2 Duration interval
  4 UInt32Value unhealthy_threshold
  5 UInt32Value healthy_threshold
  8 HttpHealthCheck http_health_check
  12 Duration no_traffic_interval
  14 Duration unhealthy_interval
  24 Duration no_traffic_healthy_interval
ConsistentHashingLbConfig
  2 UInt32Value hash_balance_factor
CommonLbConfig
  1 Empty healthy_panic_threshold
  7 ConsistentHashingLbConfig consistent_hashing_lb_config
BindConfig
  1 SocketAddress source_address
Cluster
  1 string name
  2 uint32 type
  3 EdsClusterConfig eds_cluster_config
  4 Duration connect_timeout
  5 UInt32Value per_connection_buffer_limit_bytes
  6 uint32 lb_policy
  8 repeated HealthCheck health_checks
  10 CircuitBreakers circuit_breakers
  17 uint32 dns_lookup_family
  21 BindConfig upstream_bind_config
  22 LbSubsetConfig lb_subset_config
  24 TransportSocket transport_socket
  27 CommonLbConfig common_lb_config
  28 string alt_stat_name
  33 ClusterLoadAssignment load_assignment
  36 map Any typed_extension_protocol_options
  43 repeated TransportSocketMatch transport_socket_matches
CommonHttpProtocolOptions
  1 Duration idle_timeout
  7 UInt32Value max_response_headers_kb
ExplicitHttpConfig
  1 Empty http_protocol_options
  2 Empty http2_protocol_options
RetryHostPredicate
  1 string name
  3 Any typed_config
RetryPriority
  1 string name
  3 Any typed_config
RetryBackOff
  1 Duration base_interval
  2 Duration max_interval
RetryPolicy
  1 string retry_on
  2 UInt32Value num_retries
  4 RetryPriority retry_priority
  5 repeated RetryHostPredicate retry_host_predicate
  6 int64 host_selection_retry_max_attempts
  8 RetryBackOff retry_back_off
  9 repeated HeaderMatcher retriable_headers
HashHeader
  1 string header_name
HashPolicy
  1 HashHeader header
HttpProtocolOptions
  1 CommonHttpProtocolOptions common_http_protocol_options
  3 ExplicitHttpConfig explicit_http_config
  10 repeated HashPolicy hash_policy
  11 RetryPolicy retry_policy
SocketAddress
  2 string address
  3 present uint32 port_value
Pipe
  1 string path
InternalAddress
  1 string server_listener_name
  2 string endpoint_id
Address
  1 SocketAddress socket_address
  2 Pipe pipe
  3 InternalAddress envoy_internal_address
HealthCheckConfig
  4 bool disable_active_health_check
Endpoint
  1 Address address
  2 HealthCheckConfig health_check_config
Metadata
  1 map Struct filter_metadata
LbEndpoint
  1 Endpoint endpoint
  3 Metadata metadata
  4 UInt32Value load_balancing_weight
LocalityLbEndpoints
  2 repeated LbEndpoint lb_endpoints
  5 uint32 priority
ClusterLoadAssignment
  1 string cluster_name
  2 repeated LocalityLbEndpoints endpoints
HeaderValue
  1 string key
  2 string value
HeaderValueOption
  1 HeaderValue header
  3 uint32 append_action
StringMatcher
  1 string exact
  2 string prefix
HeaderMatcher
  1 string name
  7 bool present_match
  13 StringMatcher string_match
RouteMatch
  1 string prefix
  6 repeated HeaderMatcher headers
  14 string path_separated_prefix
RouteAction
  1 string cluster
  2 string cluster_header
  8 Duration timeout
  20 uint32 cluster_not_found_response_code
RedirectAction
  3 uint32 response_code
  4 bool https_redirect
  8 uint32 port_redirect
Route
  1 RouteMatch match
  2 RouteAction route
  3 RedirectAction redirect
VirtualHost
  1 string name
  2 repeated string domains
  3 repeated Route routes
RouteConfiguration
  1 string name
  2 repeated VirtualHost virtual_hosts
  4 repeated HeaderValueOption response_headers_to_add
  6 repeated HeaderValueOption request_headers_to_add
  7 BoolValue validate_clusters
  8 repeated string request_headers_to_remove
  14 bool ignore_port_in_host_matching
DataSource
  2 bytes inline_bytes
TlsCertificate
  1 DataSource certificate_chain
  2 DataSource private_key
NameMatcher
  1 uint32 san_type
  2 StringMatcher matcher
ValidationContext
  1 DataSource trusted_ca
  15 repeated NameMatcher match_typed_subject_alt_names
Secret
  1 string name
  2 TlsCertificate tls_certificate
  4 ValidationContext validation_context
Filter
  1 string name
  4 Any typed_config
FilterChainMatch
  10 repeated string application_protocols
FilterChain
  1 FilterChainMatch filter_chain_match
  3 repeated Filter filters
  6 TransportSocket transport_socket
  9 Duration transport_socket_connect_timeout
ListenerFilter
  1 string name
  3 Any typed_config
Listener
  1 string name
  2 Address address
  3 repeated FilterChain filter_chains
  5 UInt32Value per_connection_buffer_limit_bytes
  9 repeated ListenerFilter listener_filters
  11 BoolValue freebind
  31 bool ignore_global_conn_limit
ResponseFlags
  1 bool failed_local_healthcheck
  2 bool no_healthy_upstream
  3 bool upstream_request_timeout
  4 bool local_reset
  5 bool upstream_remote_reset
  6 bool upstream_connection_failure
  7 bool upstream_connection_termination
  8 bool upstream_overflow
  9 bool no_route_found
  15 bool downstream_connection_termination
  16 bool upstream_retry_limit_exceeded
  17 bool stream_idle_timeout
  19 bool downstream_protocol_error
  20 bool upstream_max_stream_duration_reached
  23 bool duration_timeout
  24 bool upstream_protocol_error
  25 bool no_cluster_found
  26 bool overload_manager
  28 bool downstream_remote_reset
AccessLogCommon
  2 Address downstream_remote_address
  5 Duration start_time
  9 Duration time_to_first_upstream_rx_byte
  10 Duration time_to_last_upstream_rx_byte
  12 Duration time_to_last_downstream_tx_byte
  13 Address upstream_remote_address
  15 string upstream_cluster
  16 ResponseFlags response_flags
  20 Address downstream_direct_remote_address
  23 Duration duration
  24 uint32 upstream_request_attempt_count
HTTPRequestProperties
  1 uint32 request_method
  2 string scheme
  3 string authority
  5 string path
  6 string user_agent
  7 string referer
  8 string forwarded_for
  9 string request_id
  10 string original_path
  12 uint64 request_body_bytes
  13 map string request_headers
HTTPResponseProperties
  1 UInt32Value response_code
  3 uint64 response_body_bytes
  4 map string response_headers
HTTPAccessLogEntry
  1 AccessLogCommon common_properties
  2 uint32 protocol_version
  3 HTTPRequestProperties request
  4 HTTPResponseProperties response
HTTPAccessLogEntries
  1 repeated HTTPAccessLogEntry log_entry
ConnectionProperties
  1 uint64 received_bytes
  2 uint64 sent_bytes
TCPAccessLogEntry
  1 AccessLogCommon common_properties
  2 ConnectionProperties connection_properties
TCPAccessLogEntries
  1 repeated TCPAccessLogEntry log_entry
StreamAccessLogsMessage
  2 HTTPAccessLogEntries http_logs
  3 TCPAccessLogEntries tcp_logs
"""
)

DeltaDiscoveryRequest: Any = _CLASSES["DeltaDiscoveryRequest"]
DeltaDiscoveryResponse: Any = _CLASSES["DeltaDiscoveryResponse"]
Cluster: Any = _CLASSES["Cluster"]
HttpProtocolOptions: Any = _CLASSES["HttpProtocolOptions"]
ClusterLoadAssignment: Any = _CLASSES["ClusterLoadAssignment"]
RouteConfiguration: Any = _CLASSES["RouteConfiguration"]
Secret: Any = _CLASSES["Secret"]
Listener: Any = _CLASSES["Listener"]
Struct: Any = _CLASSES["Struct"]
StreamAccessLogsMessage: Any = _CLASSES["StreamAccessLogsMessage"]
TCPAccessLogEntry: Any = _CLASSES["TCPAccessLogEntry"]

CLUSTER_URL: Final = "type.googleapis.com/envoy.config.cluster.v3.Cluster"
ENDPOINTS_URL: Final = "type.googleapis.com/envoy.config.endpoint.v3.ClusterLoadAssignment"
SECRET_URL: Final = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret"
LISTENER_URL: Final = "type.googleapis.com/envoy.config.listener.v3.Listener"
ROUTES_URL: Final = "type.googleapis.com/envoy.config.route.v3.RouteConfiguration"
HTTP_OPTIONS_URL: Final = "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
PREVIOUS_PRIORITIES_URL: Final = (
    "type.googleapis.com/envoy.extensions.retry.priority.previous_priorities.v3.PreviousPrioritiesConfig"
)
PREVIOUS_HOSTS_URL: Final = "type.googleapis.com/envoy.extensions.retry.host.previous_hosts.v3.PreviousHostsPredicate"

STATIC: Final = 0
STRICT_DNS: Final = 1
EDS: Final = 3
V4_PREFERRED: Final = 3
HTTP2: Final = 1
URI: Final = 3
API_V3: Final = 2
ROUND_ROBIN: Final = 0
LEAST_REQUEST: Final = 1
RING_HASH: Final = 2
ANY_ENDPOINT: Final = 1
NOT_FOUND: Final = 1
PERMANENT_REDIRECT: Final = 4
OVERWRITE_IF_EXISTS_OR_ADD: Final = 2
REQUEST_METHODS: Final = ("", "GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH")
PROTOCOLS: Final = ("", "HTTP/1.0", "HTTP/1.1", "HTTP/2", "HTTP/3")


def duration(seconds: float) -> dict[str, int]:
    """A protobuf duration of `seconds`."""
    whole = int(seconds)
    return {"seconds": whole, "nanos": round((seconds - whole) * 1e9)}
