"""
Keys that nats-server understands, up to 2.15, and this server does not.

Most change nothing that a client of the core protocol could tell: a warning says that
they are ignored. The *doors* say who may log in or what may be done: to ignore one
could open a door, so they are errors.
"""


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


TOP = _words("""
    accounts allow_non_tls client_advertise connect_error_reports default_js_domain
    default_sentinel disable_sublist_cache feature_flags gateway http_base_path
    jetstream leaf leafnodes log_max_num log_size_limit logfile_max_num
    logfile_size_limit logtime_utc mappings maps max_closed_clients max_sub_tokens
    max_subscription_tokens max_traced_msg_len mqtt no_fast_producer_stall
    no_header_support no_sublist_cache no_sys_acc no_system no_system_account ocsp
    ocsp_cache prof_block_rate proxies proxy_protocol reconnect_error_reports
    resolver_pinned_accounts resolver_tls server_metadata server_tags store_dir storedir
    system system_account trace_headers trace_verbose websocket write_timeout ws
""")

TOP_DOORS = _words("""
    account_resolver accounts_resolver operator operators resolver resolver_preload root
    root_operator root_operators roots trusted trusted_keys
""")

AUTHORIZATION_DOORS = _words("""
    account allow_responses allowed_connection_types auth_callout auth_hook clients
    connection_types jwt nkey nkeys proxy_required publish_allow_responses
""")

CLUSTER = _words("""
    advertise cluster_advertise compression connect_backoff connect_retries name
    no_advertise ping_interval ping_max pool_size write_deadline write_timeout
""")

CLUSTER_DOORS = _words("accounts permissions")
