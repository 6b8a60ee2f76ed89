//! The completions of the shells match the programs: they offer every option in the help and no other, for
//! each command its own options, and fitting files.

mod util;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use echo_alex::testing::certs_command;
use util::options::{PROGRAMS, help, options};
use util::{Running, outcome, tool};

#[derive(Clone, Copy, Debug, PartialEq)]
enum Shell {
    Bash,
    Zsh,
    Fish,
}

const SHELLS: [Shell; 3] = [Shell::Bash, Shell::Zsh, Shell::Fish];

impl Shell {
    fn name(self) -> &'static str {
        match self {
            Self::Bash => "bash",
            Self::Zsh => "zsh",
            Self::Fish => "fish",
        }
    }

    fn folder(self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/completions").join(self.name())
    }

    /// The file for `program`, under the name that the shell looks for.
    fn file(self, program: &str) -> PathBuf {
        self.folder().join(match self {
            Self::Bash => program.to_owned(),
            Self::Zsh => format!("_{program}"),
            Self::Fish => format!("{program}.fish"),
        })
    }

    /// The options in a completion file of this shell.
    fn options(self, text: &str) -> BTreeSet<String> {
        match self {
            // Words are in quotes.
            Self::Bash => text.split('\'').skip(1).step_by(2).flat_map(options).collect(),
            // An option comes after those that it excludes, and before its help in brackets.
            Self::Zsh => text
                .lines()
                .filter_map(|line| line.split_once('[').map(|(spec, _)| spec))
                .map(|spec| spec.split_once(')').map_or(spec, |(_, spec)| spec))
                .flat_map(options)
                .collect(),
            Self::Fish => {
                let mut all = BTreeSet::new();
                for line in text.lines().filter(|line| line.starts_with("complete ")) {
                    let words: Vec<&str> = line.split_whitespace().collect();
                    all.extend(words.windows(2).filter_map(|pair| match pair[0] {
                        "-s" => Some(format!("-{}", pair[1])),
                        "-l" => Some(format!("--{}", pair[1])),
                        _ => None,
                    }));
                }
                all
            }
        }
    }

    /// What this shell offers in `folder` for the last word of `line`, best first; `None` if it is not
    /// installed.
    fn offers(self, folder: &Path, line: &str) -> Option<Vec<String>> {
        let program = line.split(' ').next().unwrap();
        let mut shell = tool(self.name())?;
        // Some shells write files to the home folder.
        let home = tempfile::tempdir().unwrap();
        shell.current_dir(folder).env("HOME", home.path());
        let offers = match self {
            Self::Bash => {
                shell.args(["--norc", "-c", BASH, "bash"]).arg(self.file(program));
                outcome(shell.args(line.split(' ')))
            }
            Self::Zsh => {
                let offers = folder.join("offers");
                shell.args(["-f", "-c", ZSH, "zsh"]).arg(self.folder()).arg(line).arg(&offers);
                assert!(Running::start(shell).finish().success());
                let text = fs::read_to_string(&offers).unwrap();
                fs::remove_file(offers).unwrap();
                text
            }
            Self::Fish => {
                // It completes only commands that can be run.
                let programs = Path::new(PROGRAMS[0].1).parent().unwrap();
                shell.args(["--no-config", "-c", FISH]).arg(self.folder()).arg(programs).arg(line);
                outcome(&mut shell)
            }
        };
        let word = |line: &str| {
            let word = line.split('\t').next().unwrap_or_default();
            word.trim_end_matches('/').to_owned()
        };
        Some(offers.lines().map(word).filter(|word| !word.is_empty()).collect())
    }
}

/// Calls the completion function of the program, and adds directories or file names where bash would.
const BASH: &str = r#"
source "$1"; shift
COMP_WORDS=("$@") COMP_CWORD=$(($# - 1)) word=${@: -1}
specification=$(complete -p "$1"); function=${specification##*-F }
compopt() { [[ $2 != plusdirs ]] || plusdirs=yes; }
"${function%% *}" "$1" "$word" "${@: -2:1}"
[[ -z $plusdirs ]] || mapfile -t -O ${#COMPREPLY[@]} COMPREPLY < <(compgen -d -- "$word")
if [[ ${#COMPREPLY[@]} == 0 && $specification == *'-o default'* ]]; then
    mapfile -t COMPREPLY < <(compgen -f -- "$word")
fi
printf '%s\n' "${COMPREPLY[@]}"
"#;

/// Completes in a terminal, because zsh completes nowhere else, and records what is added (with -A, -D or -O
/// nothing is added, only filtered). It waits for the line editor: before that, the terminal itself would
/// handle Ctrl-U and discard the line.
const ZSH: &str = r#"
zmodload zsh/zpty
zpty terminal zsh -f -i
zpty -w terminal "
    fpath=(${(q)1} \$fpath); autoload -Uz compinit; compinit -u -D; exec 3>${(q)3}
    compadd() {
        local -a added
        if [[ \${@[1,(i)(-|--)]} != *-[ADO]\ * ]]; then
            builtin compadd -A added \"\$@\"; print -rl -- \$added >&3
        fi
        builtin compadd \"\$@\"
    }
    note() { _main_complete; compstate[insert]= compstate[list]= }
    zle -C note complete-word note; bindkey '^I' note
    zle-line-init() { print -n REA''DY }; zle -N zle-line-init"
zpty -r terminal output '*READY*'
zpty -w -n terminal "$2"$'\t'$'\C-u''exec 3>&-; print -n DO''NE'$'\n'
zpty -r terminal output '*DONE*'
zpty -d terminal
"#;

const FISH: &str = r"
set fish_complete_path $argv[1] $fish_complete_path
set PATH $argv[2] $PATH
complete -C $argv[3]
";

fn set<'a>(words: &[&'a str]) -> BTreeSet<&'a str> {
    words.iter().copied().collect()
}

#[test]
fn each_file_of_the_daemon_has_the_options_of_the_help_and_no_other() {
    let shown = options(&help("echo-alex"));
    assert!(shown.contains("-h") && shown.len() > 5, "{shown:?}");
    for shell in SHELLS {
        let text = fs::read_to_string(shell.file("echo-alex")).unwrap();
        assert_eq!(shell.options(&text), shown, "{shell:?}");
    }
}

#[test]
fn each_program_has_a_file_and_there_is_no_other() {
    for shell in SHELLS {
        let there: BTreeSet<PathBuf> =
            fs::read_dir(shell.folder()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert_eq!(there, PROGRAMS.iter().map(|(name, _)| shell.file(name)).collect());
    }
}

#[test]
fn the_shells_load_the_files() {
    for shell in SHELLS {
        for (name, _) in PROGRAMS {
            let Some(mut command) = tool(shell.name()) else { continue };
            outcome(command.arg("-n").arg(shell.file(name)));
        }
    }
}

#[test]
fn fitting_commands_options_and_files_are_offered() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir(folder.path().join("certs")).unwrap();
    for file in ["alex.toml", "alex.crt", "alex.key", "signing.pem", "notes.txt"] {
        fs::write(folder.path().join(file), "").unwrap();
    }
    for (line, expected) in [
        ("echo-alex --ch", &["--check"][..]),
        ("echo-alex -c a", &["alex.toml"]),
        ("echo-alex --config ", &["alex.toml", "certs"]),
        ("echo-alex-client --show", &["--show-certificate"]),
        ("echo-alex-client b", &["bench", "both"]),
        ("echo-alex-client ping --rec", &["--reconnect"]),
        ("echo-alex-client ping --tls --key alex.k", &["alex.key"]),
        ("echo-alex-certs s", &["server", "show"]),
        ("echo-alex-certs server --ren", &["--renew"]),
        ("echo-alex-certs ca --key-type ", &["ecdsa", "ed25519"]),
        ("echo-alex-certs init --dir ", &["certs"]),
        ("echo-alex-certs show alex.c", &["alex.crt"]),
    ] {
        for shell in SHELLS {
            let Some(offers) = shell.offers(folder.path(), line) else { continue };
            let mut offers: Vec<&str> = offers.iter().map(String::as_str).collect();
            if shell == Shell::Fish {
                // It offers other files too, after those that fit.
                offers.truncate(expected.len());
            }
            assert_eq!(set(&offers), set(expected), "{line:?} in {shell:?}");
        }
    }
}

#[test]
fn each_command_is_offered_its_own_options() {
    let folder = tempfile::tempdir().unwrap();
    let mut program = certs_command();
    program.build();
    for command in program.get_subcommands() {
        let options = command.get_arguments().filter_map(clap::Arg::get_long);
        let taken: BTreeSet<String> = options.map(|option| format!("--{option}")).collect();
        for shell in SHELLS {
            let line = format!("echo-alex-certs {} --", command.get_name());
            let Some(offers) = shell.offers(folder.path(), &line) else { continue };
            let offers: BTreeSet<String> = offers.into_iter().collect();
            assert_eq!(offers, taken, "{} in {shell:?}", command.get_name());
        }
    }
}
