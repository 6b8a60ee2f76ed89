//! The report as one page of HTML, which loads nothing: the diagram and the waterfall as SVG, and bytes
//! that unfold.

use std::fmt::Write;

use super::report::{Report, Step, in_milliseconds};
use crate::client::mode::both::rows::Row;
use crate::client::tap::Direction;

/// The most bytes of a step that are shown.
const BYTES_SHOWN: usize = 4096;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8886;--sent:#0969da;--received:#1a7f37;--local:#9a6700;--fault:#cf222e}
@media(prefers-color-scheme:dark){:root{--sent:#58a6ff;--received:#3fb950;--local:#d29922;--fault:#f85149}}
body{font:16px/1.5 system-ui,sans-serif;max-width:52rem;margin:2rem auto;padding:0 1rem}
svg{width:100%;height:auto;font:13px system-ui,sans-serif}svg text{fill:currentColor}
.sent{color:var(--sent)}.received{color:var(--received)}.local{color:var(--local)}.fault{color:var(--fault)}
path,line,rect{stroke:currentColor}.life{stroke:var(--line)}.bar{fill:currentColor}
details{border-left:3px solid;padding-left:1rem;margin:.7rem 0}details>*{color:CanvasText}
summary{cursor:pointer}summary b{color:inherit}.purpose{margin:.2rem 0}
dl{display:grid;grid-template-columns:max-content 1fr;gap:0 1rem;margin:.3rem 0}dd{margin:0;overflow-wrap:anywhere}
table{border-collapse:collapse}th,td{text-align:left;vertical-align:top;padding:.1rem 1rem .1rem 0;overflow-wrap:anywhere}
pre{overflow-x:auto;font-size:12px;border:1px solid var(--line);padding:.5rem}";

/// The page.
pub fn page(report: &Report) -> String {
    let title = format!("A connection to {}", escape(&report.host));
    let mut page = format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n\
         <meta name=\"viewport\" content=\"width=device-width\">\n\
         <title>{title}</title>\n<style>\n{STYLE}\n</style></head><body>\n<h1>{title}</h1>\n"
    );
    if let Some(address) = &report.address {
        let _ = writeln!(page, "<p>{}</p>", escape(address));
    }
    if let Some(facts) = &report.facts {
        let _ = writeln!(page, "<p>{}</p>", escape(&facts.to_string()));
    }
    if let Some(error) = &report.error {
        let _ = writeln!(page, "<p class=\"fault\"><b>{}</b></p>", escape(error));
    }
    page.push_str("<h2>Where the time went</h2>\n");
    waterfall(&mut page, report);
    page.push_str("<h2>What was sent</h2>\n");
    diagram(&mut page, report);
    if let Some(rows) = &report.ends {
        page.push_str("<h2>What both ends saw</h2>\n");
        table(&mut page, rows);
    }
    page.push_str("<h2>Step by step</h2>\n");
    for (number, step) in report.steps.iter().enumerate() {
        unfold(&mut page, number, step);
    }
    page.push_str("</body></html>\n");
    page
}

fn waterfall(page: &mut String, report: &Report) {
    let end = report.phases.iter().map(|it| it.start + it.length).max().unwrap_or_default();
    let scale = 520.0 / in_milliseconds(end).max(0.001);
    let height = 28 * report.phases.len() + 4;
    let _ =
        writeln!(page, "<svg viewBox=\"0 0 800 {height}\" role=\"img\" aria-label=\"waterfall\">");
    for (row, phase) in report.phases.iter().enumerate() {
        let (y, length) = (28 * row + 4, in_milliseconds(phase.length));
        let x = 100.0 + in_milliseconds(phase.start) * scale;
        let width = (length * scale).max(1.0);
        let _ = writeln!(
            page,
            "<text x=\"0\" y=\"{}\">{}</text><g class=\"sent\"><rect class=\"bar\" x=\"{x:.1}\" \
             y=\"{y}\" width=\"{width:.1}\" height=\"20\"/></g><text x=\"{:.1}\" y=\"{}\">{length:.3} \
             ms</text>",
            y + 15,
            phase.name,
            x + width + 6.0,
            y + 15
        );
    }
    page.push_str("</svg>\n");
}

fn diagram(page: &mut String, report: &Report) {
    let bottom = 34 * report.steps.len() + 40;
    let _ = writeln!(
        page,
        "<svg viewBox=\"0 0 800 {bottom}\" role=\"img\" aria-label=\"sequence diagram\">\
         <text x=\"80\" y=\"16\">client</text><text x=\"715\" y=\"16\">server</text>\
         <line class=\"life\" x1=\"100\" y1=\"24\" x2=\"100\" y2=\"{bottom}\"/>\
         <line class=\"life\" x1=\"740\" y1=\"24\" x2=\"740\" y2=\"{bottom}\"/>"
    );
    for (row, step) in report.steps.iter().enumerate() {
        let y = 34 * row + 54;
        let _ = writeln!(
            page,
            "<g class=\"{}\"><text x=\"92\" y=\"{}\" text-anchor=\"end\">{:.3}</text>\
             <text x=\"{}\" y=\"{}\"{}>{}</text>{}</g>",
            class(step),
            y + 4,
            in_milliseconds(step.time),
            if step.direction.is_some() { 420 } else { 116 },
            if step.direction.is_some() { y - 6 } else { y + 4 },
            if step.direction.is_some() { " text-anchor=\"middle\"" } else { "" },
            escape(&format!("{}{}", label(step), gist(step))),
            match step.direction {
                Some(Direction::Sent) =>
                    format!("<path d=\"M104 {y}H736m-8-4l8 4l-8 4\" fill=\"none\"/>"),
                Some(Direction::Received) => {
                    format!("<path d=\"M736 {y}H104m8-4l-8 4l8 4\" fill=\"none\"/>")
                }
                None => format!("<circle cx=\"100\" cy=\"{y}\" r=\"5\" fill=\"currentColor\"/>"),
            }
        );
    }
    page.push_str("</svg>\n");
}

/// What both ends saw, side by side; a row that stands out is explained below it.
fn table(page: &mut String, rows: &[Row]) {
    page.push_str("<table>\n<tr><th></th><th>client</th><th>server</th></tr>\n");
    for Row { name, client, server, finding } in rows {
        let class = if finding.is_some() { " class=\"local\"" } else { "" };
        let [client, server] = [client, server].map(|text| escape(text));
        let _ = writeln!(
            page,
            "<tr{class}><th scope=\"row\">{name}</th><td>{client}</td><td>{server}</td></tr>"
        );
        if let Some(finding) = finding {
            let explanation = escape(&finding.explanation);
            let _ = writeln!(page, "<tr><td></td><td colspan=\"2\">{explanation}</td></tr>");
        }
    }
    page.push_str("</table>\n");
}

fn label(step: &Step) -> String {
    match (step.wire.0.len(), &step.plaintext) {
        (0, _) => step.name.clone(),
        (size, None) => format!("{}, {size} bytes", step.name),
        (size, Some(_)) => format!("{}, encrypted, {size} bytes", step.name),
    }
}

/// The most telling of the details, shortened.
fn gist(step: &Step) -> String {
    const TELLING: [&str; 8] = [
        "cipher suite",
        "asks for a share of",
        "resumes with",
        "server name",
        "certificate",
        "signature",
        "data",
        "addresses",
    ];
    const LENGTH: usize = 56;

    let mut found =
        TELLING.iter().filter_map(|name| step.details.iter().find(|it| it.name == *name));
    let Some(line) = found.next() else { return String::new() };
    let value = line.value.split(", signed by ").next().unwrap_or_default();
    let more = if value.chars().count() > LENGTH { "…" } else { "" };
    let shown: String = value.chars().take(LENGTH).collect();
    format!(": {shown}{more}")
}

fn class(step: &Step) -> &'static str {
    match step.direction {
        _ if step.is_fault => "fault",
        Some(Direction::Sent) => "sent",
        Some(Direction::Received) => "received",
        None => "local",
    }
}

fn unfold(page: &mut String, number: usize, step: &Step) {
    let way = match step.direction {
        Some(Direction::Sent) => "→ ",
        Some(Direction::Received) => "← ",
        None => "",
    };
    let _ = writeln!(
        page,
        "<details id=\"step{number}\" class=\"{}\"{}><summary>{:.3} ms {way}<b>{}</b></summary>\n\
         <p class=\"purpose\">{} <small>{}</small></p>\n<dl>",
        class(step),
        if step.is_fault { " open" } else { "" },
        in_milliseconds(step.time),
        escape(&label(step)),
        escape(step.purpose),
        escape(step.rfc)
    );
    for line in &step.details {
        let _ = writeln!(page, "<dt>{}</dt><dd>{}</dd>", escape(line.name), escape(&line.value));
    }
    page.push_str("</dl>\n");
    bytes(page, "on the wire", &step.wire.0);
    if let Some(plaintext) = &step.plaintext {
        bytes(page, "decrypted", &plaintext.0);
    }
    page.push_str("</details>\n");
}

/// A dump that unfolds.
fn bytes(page: &mut String, what: &str, bytes: &[u8]) {
    if bytes.is_empty() {
        return;
    }
    let _ = write!(page, "<details><summary>{} bytes {what}</summary><pre>", bytes.len());
    let shown = bytes.get(..BYTES_SHOWN).unwrap_or(bytes);
    for (row, sixteen) in shown.chunks(16).enumerate() {
        let digits: Vec<String> = sixteen.iter().map(|byte| format!("{byte:02x}")).collect();
        let visible = |byte: &u8| if (0x20..0x7F).contains(byte) { char::from(*byte) } else { '.' };
        let text: String = sixteen.iter().map(visible).collect();
        let _ = writeln!(page, "{:04x}  {:<47}  {}", 16 * row, digits.join(" "), escape(&text));
    }
    if bytes.len() > BYTES_SHOWN {
        page.push_str("…\n");
    }
    page.push_str("</pre></details>\n");
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}
