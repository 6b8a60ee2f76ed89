//! What the command line takes and refuses.

use super::values::fingerprint;
use super::*;

fn parse(line: &str) -> Result<Options, String> {
    match Request::parse(line.split_whitespace().map(Into::into)) {
        Ok(Request::Run(options)) => Ok(*options),
        Ok(_) => Err("help".into()),
        Err(failure) => Err(failure.message),
    }
}

#[test]
fn the_port_follows_from_tls() {
    assert_eq!(parse("alex.local").unwrap().port, 5000);
    assert_eq!(parse("--tls alex.local").unwrap().port, 5001);
    assert_eq!(parse("--tls alex.local 7").unwrap().port, 7);
}

#[test]
fn the_name_to_verify_is_the_host_unless_another_is_given() {
    assert_eq!(parse("--tls 10.0.0.1").unwrap().tls.unwrap().name, "10.0.0.1");
    let other = parse("--tls --name alex.local 10.0.0.1").unwrap();
    assert_eq!((other.host.as_str(), other.tls.unwrap().name.as_str()), ("10.0.0.1", "alex.local"));
}

#[test]
fn options_of_tls_are_refused_without_it() {
    for line in ["--ca x alex", "--insecure alex", "--name y alex", "--show-certificate alex"] {
        assert!(parse(line).unwrap_err().contains("--tls"), "{line}");
    }
    assert!(parse("--tls --ca x --insecure alex").unwrap_err().contains("exclude"));
    assert!(parse("--tls --cert x alex").unwrap_err().contains("together"));
}

#[test]
fn fingerprints_are_taken_as_they_are_printed() {
    let colons = ["AB"; 32].join(":");
    for text in [format!("sha256:{colons}"), "ab".repeat(32), format!("SHA256:{}", "aB".repeat(32))]
    {
        assert_eq!(fingerprint(&text).unwrap(), colons);
    }
    assert!(fingerprint("sha256:ab").is_err());
    assert!(fingerprint(&"é".repeat(32)).is_err());
}

#[test]
fn an_option_of_another_command_is_refused_with_the_name_of_that_command() {
    for (line, words) in [
        ("-c 3 alex", "'-c' found; it is an option of ping"),
        ("bench -s 3000 alex", "'-s' found; it is an option of ping"),
        ("ping --size 3000 alex", "'--size' found; it is an option of bench"),
        ("--depth 3 alex", "'--depth' found; it is an option of bench"),
    ] {
        let refused = parse(line).unwrap_err();
        assert!(refused.contains(words), "{line}: {refused}");
    }
    assert!(parse("ping -c 3 -s 9 alex").is_ok() && parse("bench --size 9 alex").is_ok());
}

#[test]
fn the_options_that_commands_once_were_stand_for_them() {
    for (old, new) in [
        ("--ping -c 3 alex", "ping -c 3 alex"),
        ("-c3 --tls alex 7 --ping", "ping -c 3 --tls alex 7"),
        ("--bench --connections 50 --duration 2 alex", "bench --connections 50 --duration 2 alex"),
        ("--tls --handshakes alex", "handshakes --tls alex"),
        ("--bench --handshakes --tls --json alex", "handshakes --tls --json alex"),
    ] {
        assert_eq!(
            format!("{:?}", parse(old).unwrap()),
            format!("{:?}", parse(new).unwrap()),
            "{old}"
        );
    }
    assert!(parse("--ping --bench alex").unwrap_err().contains("unexpected argument '--bench'"));
}

#[test]
fn talk_is_the_default_and_shared_options_may_stand_before_the_command() {
    assert!(matches!(parse("--verify alex").unwrap().mode, Mode::Talk(Talk { verify: true, .. })));
    let named = parse("talk ping 7").unwrap();
    assert_eq!((named.host.as_str(), named.port), ("ping", 7));
    let before = parse("--tls --timeout 3 -q ping alex").unwrap();
    assert!(before.tls.is_some() && before.quiet);
    assert_eq!(before.timeout, Duration::from_secs(3));
    for line in ["alex ping", "--verify ping alex"] {
        assert!(parse(line).is_err(), "{line}");
    }
    assert!(parse("alex ping alex").unwrap_err().contains("the command comes before HOST"));
}

#[test]
fn the_last_of_an_option_that_is_repeated_counts() {
    let options = parse("-4 -q -q --timeout 3 --timeout 4 -6 alex").unwrap();
    assert_eq!((options.family, options.timeout), (Some(Family::V6), Duration::from_secs(4)));
}

#[test]
fn a_port_stands_behind_the_host_or_apart_and_not_twice() {
    for line in ["alex:5001", "alex 5001", "--tls alex:5001"] {
        let options = parse(line).unwrap();
        assert_eq!((options.host.as_str(), options.port), ("alex", 5001), "{line}");
    }
    assert_eq!(parse("--tls alex:5001").unwrap().tls.unwrap().name, "alex");
    assert_eq!(parse("--tls [fe80::1%eth0]:5001").unwrap().tls.unwrap().name, "fe80::1");
    assert_eq!(parse("alex echo").unwrap().port, 7);
    assert!(parse("alex:5001 7").unwrap_err().contains("two ports: 5001 and 7"));
    for port in ["0", "70000", "no-such-port"] {
        for line in [format!("alex {port}"), format!("alex:{port}")] {
            let words = parse(&line).unwrap_err();
            assert!(words.contains("from 1 to 65535"), "{words}");
        }
    }
}

#[test]
fn times_are_seconds_or_as_in_the_configuration() {
    for (text, millis) in
        [("10", 10_000), ("0.2", 200), ("10s", 10_000), ("5min", 300_000), ("500ms", 500)]
    {
        let options = parse(&format!("--timeout {text} alex")).unwrap();
        assert_eq!(options.timeout, Duration::from_millis(millis), "{text}");
    }
}

#[test]
fn an_error_is_one_line_that_says_what_is_wrong_and_where_the_help_is() {
    for (line, words) in [
        ("", "the following required arguments were not provided: <HOST>"),
        (
            "alex:x",
            "invalid value 'alex:x' for '<HOST>': \"x\" is neither a port number from 1 to 65535 nor a name in /etc/services",
        ),
        (
            "--timeut 3 alex",
            "unexpected argument '--timeut' found; a similar argument exists: '--timeout'",
        ),
        ("--timeout", "a value is required for '--timeout <TIME>' but none was supplied"),
        ("ping -c -3 alex", "unexpected argument '-3' found"),
        ("alex 1 2", "unexpected argument '2' found"),
    ] {
        assert_eq!(parse(line).unwrap_err(), format!("{words}; see echo-alex-client --help"));
    }
}

#[test]
fn numbers_beyond_a_limit_are_refused_with_the_limit() {
    for (line, words) in [
        ("--timeout 1e19", "up to 366 days"),
        ("--timeout 0", "above 0"),
        ("--timeout=-1", "above 0"),
        ("--timeout nan", "above 0"),
        ("--timeout 367d", "up to 366 days"),
        ("--ping -i 10000000000000000000", "up to 366 days"),
        ("--bench --duration 1000000000y", "up to 366 days"),
        ("--ping -c 18446744073709551615", "from 1 to 1000000000"),
        ("--ping -s 18446744073709551615", "from 1 to 67108864"),
        ("--bench --size 99999999999", "from 1 to 67108864"),
        ("--bench --connections 18446744073709551615", "from 1 to 65535"),
        ("--bench --depth 18446744073709551615", "from 1 to 4000000"),
        ("--bench --connections 65535 --depth 65535", "at most 4000000"),
    ] {
        let refused = parse(&format!("{line} alex")).unwrap_err();
        assert!(refused.contains(words), "{line}: {refused}");
    }
    let most = "--bench --connections 65535 --depth 61 --size 67108864 --duration 366d alex";
    assert!(parse(most).is_ok());
}

#[test]
fn udp_is_refused_where_it_makes_no_sense() {
    assert!(parse("ping --udp -s 40 alex").unwrap().udp);
    assert!(parse("--udp ping -s 65507 alex").unwrap().udp);
    assert!(parse("--udp --verify alex").unwrap().udp);
    for (line, words) in [
        ("ping --udp --tls alex", "--tls needs TCP"),
        ("ping --udp --reconnect alex", "--reconnect needs TCP"),
        ("ping --udp -s 39 alex", "40 to 65507 bytes"),
        ("ping --udp -s 65508 alex", "40 to 65507 bytes"),
        ("bench --udp --size 39 alex", "40 to 65507 bytes"),
        ("bench --udp --loaded-latency alex", "--loaded-latency needs TCP"),
        ("explain --udp alex", "this command needs TCP"),
    ] {
        let refused = parse(line).unwrap_err();
        assert!(refused.contains(words), "{line}: {refused}");
    }
}

#[test]
fn help_is_80_columns_wide_and_a_summary_fits_a_screen() {
    let help = |line: &str| match Request::parse(line.split_whitespace().map(Into::into)) {
        Ok(Request::Help(text)) => text,
        other => panic!("{other:?}"),
    };
    for line in [
        "-h",
        "ping -h",
        "bench -h",
        "explain -h",
        "handshakes -h",
        "idle -h",
        "both -h",
        "mtu -h",
        "compare -h",
        "hold -h",
        "diff -h",
        "talk -h",
    ] {
        let (short, long) = (help(line), help(&line.replace("-h", "--help")));
        assert!(short.lines().count() <= 40, "{short}");
        assert!(short.lines().chain(long.lines()).all(|line| line.chars().count() <= 80), "{long}");
    }
}

#[test]
fn compare_speaks_tls_without_being_asked_and_its_port_is_that_of_plain_tcp() {
    for line in ["compare alex", "compare --tls alex", "compare --udp alex"] {
        let options = parse(line).unwrap();
        assert!(options.tls.is_some() && options.port == 5000, "{line}");
    }
    let options = parse("compare --ca x --tls-port 7 alex 9").unwrap();
    let Mode::Compare(compare) = options.mode else { panic!("{:?}", options.mode) };
    assert_eq!((options.port, compare.tls_port, compare.udp_port), (9, 7, None));
    for (line, words) in [
        ("compare -s 39 alex", "expected a whole number from 40 to 65507"),
        ("compare -s 65508 alex", "expected a whole number from 40 to 65507"),
        ("compare -c 100001 alex", "expected a whole number from 1 to 100000"),
        ("compare -c 10000 -s 60000 alex", "-c times -s is at most 67108864 bytes"),
        ("mtu --tls alex", "mtu sends UDP, and has no --tls"),
    ] {
        let refused = parse(line).unwrap_err();
        assert!(refused.contains(words), "{line}: {refused}");
    }
    assert!(parse("mtu --udp alex").is_ok());
}

#[test]
fn the_definition_is_consistent() {
    command().debug_assert();
}

#[test]
fn hold_speaks_tls_on_all_sessions_or_on_every_other_one() {
    for (line, port, tls) in [
        ("hold alex", 5000, false),
        ("hold --tls alex", 5001, true),
        ("hold --tls-port 7 alex", 5000, true),
        ("hold --tls-port 7 --ca x alex 9", 9, true),
    ] {
        let options = parse(line).unwrap();
        assert_eq!((options.port, options.tls.is_some()), (port, tls), "{line}");
    }
    let options = parse("hold --from 127.0.0.2,::1 --from 127.0.0.3 alex").unwrap();
    let Mode::Hold(hold) = options.mode else { panic!("{:?}", options.mode) };
    let from: Vec<String> = hold.from.iter().map(ToString::to_string).collect();
    assert_eq!(from, ["127.0.0.2", "::1", "127.0.0.3"]);
    for (line, words) in [
        ("hold --tls --tls-port 7 alex", "leave out --tls"),
        ("hold --tls-port 7 --sessions 1 alex", "at least 2 --sessions"),
        ("hold --ca x alex", "need --tls"),
        ("hold --udp alex", "needs TCP"),
        ("hold --from alex alex", "invalid IP address"),
        ("hold --sessions 65536 alex", "from 1 to 65535"),
    ] {
        let failure = parse(line).unwrap_err();
        assert!(failure.contains(words), "{line}: {failure}");
    }
}
