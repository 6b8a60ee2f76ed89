"""Compares the findings of a test suite with what is expected of the daemon; exits with 1 if they differ.

Usage: verdicts.py autobahn|sslyze|testssl REPORT.json
"""
import collections
import json
import sys

suite, report = sys.argv[1:]
failed = False


def verdict(what, found, expected):
    global failed
    good = found == expected
    failed |= not good
    print(f"{what}: {found}" + ("" if good else f", not {expected}"))


report = json.load(open(report))
if suite == "autobahn":
    for agent, cases in report.items():
        behaviours = {case: (it["behavior"], it["behaviorClose"]) for case, it in cases.items()}
        print(agent, len(cases), "cases:", dict(collections.Counter(of for of, _ in behaviours.values())))
        for case, (of_case, of_close) in behaviours.items():
            if not {of_case, of_close} <= {"OK", "NON-STRICT", "INFORMATIONAL"}:
                verdict(f"{agent} {case}", f"{of_case}, close {of_close}", "OK")
    verdict("cases", [len(cases) for cases in report.values()], [301, 301])
    sys.exit(failed)

if suite == "testssl":
    # docs/conformance.md explains this one.
    known = {"cert_revocation"}
    for finding in report:
        if finding["id"] not in known and finding["severity"] in ("LOW", "MEDIUM", "HIGH", "CRITICAL", "FATAL"):
            verdict(finding["id"], finding["finding"], "so")
        elif finding["severity"] == "WARN":
            print(f'{finding["id"]}: not tested: {finding["finding"]}')
    found = {finding["id"]: finding["finding"] for finding in report}
    for protocol, expected in {
        "SSLv2": "not offered", "SSLv3": "not offered", "TLS1": "not offered", "TLS1_1": "not offered",
        "TLS1_2": "offered", "TLS1_3": "offered with final",
        "secure_client_renego": "not vulnerable", "heartbleed": "not vulnerable, no heartbeat extension",
        "CCS": "not vulnerable",
    }.items():
        verdict(protocol, found.get(protocol), expected)
    sys.exit(failed)

(server,) = report["server_scan_results"]
found = {name: scan["result"] for name, scan in server["scan_result"].items() if scan["status"] == "COMPLETED"}
suites = {
    "tls_1_2": {"ECDHE_ECDSA_WITH_AES_128_GCM_SHA256", "ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
                "ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256"},
    "tls_1_3": {"AES_128_GCM_SHA256", "AES_256_GCM_SHA384", "CHACHA20_POLY1305_SHA256"},
}
for version in ("ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1", "tls_1_2", "tls_1_3"):
    accepted = found[version + "_cipher_suites"]["accepted_cipher_suites"]
    names = {suite["cipher_suite"]["name"].removeprefix("TLS_") for suite in accepted}
    verdict(version, sorted(names), sorted(suites.get(version, set())))
curves = {curve["name"] for curve in found["elliptic_curves"]["supported_curves"]}
verdict("groups", sorted(curves), ["X25519", "secp256r1", "secp384r1"])
for scan, key, expected in (
    ("tls_compression", "supports_compression", False),
    ("tls_1_3_early_data", "supports_early_data", False),
    ("openssl_ccs_injection", "is_vulnerable_to_ccs_injection", False),
    ("heartbleed", "is_vulnerable_to_heartbleed", False),
    ("robot", "robot_result", "NOT_VULNERABLE_RSA_NOT_SUPPORTED"),
    ("session_renegotiation", "supports_secure_renegotiation", True),
    ("session_renegotiation", "is_vulnerable_to_client_renegotiation_dos", False),
    ("tls_extended_master_secret", "supports_ems_extension", True),
    ("tls_fallback_scsv", "supports_fallback_scsv", True),
    ("session_resumption", "session_id_resumption_result", "FULLY_SUPPORTED"),
):
    verdict(key, found[scan][key], expected)
chains = found["certificate_info"]["certificate_deployments"]
stores = [path for chain in chains for path in chain["path_validation_results"]]
verdict("verified by the CA", any(path["was_validation_successful"] for path in stores), True)
sys.exit(failed)
