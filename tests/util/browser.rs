//! Chromium without a window, driven through its `DevTools` protocol over a pipe.

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{Running, tool, wait_until};

/// A browser with one page. It is closed when this is dropped.
pub struct Browser {
    chromium: Running,
    session: String,
    last: u64,
    /// What the page and the browser complained about, except for connections that fail.
    pub complaints: Vec<String>,
    /// The addresses of all requests.
    pub requests: Vec<String>,
    _profile: TempDir,
}

impl Browser {
    /// Opens `address`, if Chromium is installed.
    pub fn open(address: &str) -> Option<Self> {
        let chromium = tool("chromium")?;
        let profile = tempfile::tempdir().unwrap();
        let mut bash = tool("bash")?;
        // The protocol has the descriptors 3 and 4. Root has no sandbox.
        bash.args(["-c", "exec \"$@\" 3<&0 4>&1 >/dev/null", "bash"])
            .arg(chromium.get_program())
            .args(["--headless=new", "--no-sandbox", "--remote-debugging-pipe", "--disable-gpu"])
            .args(["--disable-background-networking", "--no-first-run", "--disable-dev-shm-usage"])
            .arg(format!("--user-data-dir={}", profile.path().display()));
        let mut browser = Self {
            chromium: Running::start(bash),
            session: String::new(),
            last: 0,
            complaints: Vec::new(),
            requests: Vec::new(),
            _profile: profile,
        };
        let page = browser.call("Target.createTarget", &json!({ "url": "about:blank" }));
        let attach = json!({ "targetId": page["targetId"], "flatten": true });
        let session = browser.call("Target.attachToTarget", &attach);
        session["sessionId"].as_str().unwrap().clone_into(&mut browser.session);
        for domain in ["Runtime", "Log", "Network", "Page"] {
            browser.call(&format!("{domain}.enable"), &json!({}));
        }
        browser.call("Page.navigate", &json!({ "url": address }));
        Some(browser)
    }

    /// Calls a method: its result.
    pub fn call(&mut self, method: &str, parameters: &Value) -> Value {
        self.last += 1;
        let mut message = json!({ "id": self.last, "method": method, "params": parameters });
        if !self.session.is_empty() {
            message["sessionId"] = json!(self.session);
        }
        self.chromium.write(format!("{message}\0").as_bytes());
        loop {
            let text = self.chromium.read_to("\0");
            let mut message: Value = serde_json::from_str(text.trim_end_matches('\0')).unwrap();
            if message["id"] == self.last {
                assert!(message["error"].is_null(), "{method}: {message}");
                return message["result"].take();
            }
            self.note(&message);
        }
    }

    /// Keeps what an event says.
    fn note(&mut self, event: &Value) {
        let parameters = &event["params"];
        match event["method"].as_str().unwrap_or_default() {
            "Log.entryAdded" if parameters["entry"]["source"] != "network" => {
                self.complaints.push(parameters["entry"].to_string());
            }
            "Runtime.exceptionThrown" => self.complaints.push(parameters.to_string()),
            "Network.requestWillBeSent" => {
                self.requests.push(parameters["request"]["url"].as_str().unwrap().to_owned());
            }
            "Network.webSocketCreated" => {
                self.requests.push(parameters["url"].as_str().unwrap().to_owned());
            }
            _ => {}
        }
    }

    /// The value of an expression of JavaScript in the page.
    pub fn value(&mut self, expression: &str) -> Value {
        let parameters = json!({ "expression": expression, "returnByValue": true });
        let mut result = self.call("Runtime.evaluate", &parameters);
        assert!(result["exceptionDetails"].is_null(), "{expression}: {result}");
        result["result"]["value"].take()
    }

    /// The text of the element with this id.
    pub fn text(&mut self, id: &str) -> String {
        let value = self.value(&format!("document.getElementById('{id}')?.innerText ?? ''"));
        value.as_str().unwrap().to_owned()
    }

    /// Waits until the text of an element fits.
    pub fn wait_for_text(&mut self, id: &str, fits: impl Fn(&str) -> bool) -> String {
        let mut text = String::new();
        wait_until(&format!("the text of {id}"), || {
            text = self.text(id);
            fits(&text)
        });
        text
    }

    /// Presses keys: as text into what has the focus, and "Tab" and "Enter" as keys.
    pub fn press(&mut self, keys: &str) {
        let (code, text) = match keys {
            "Tab" => (9, ""),
            "Enter" => (13, "\r"),
            text => {
                self.call("Input.insertText", &json!({ "text": text }));
                return;
            }
        };
        for kind in ["keyDown", "keyUp"] {
            let key = json!({
                "type": kind, "key": keys, "code": keys, "windowsVirtualKeyCode": code,
                "text": if kind == "keyDown" { text } else { "" },
            });
            self.call("Input.dispatchKeyEvent", &key);
        }
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !std::thread::panicking() {
            self.session.clear();
            self.call("Browser.close", &json!({}));
            self.chromium.finish();
        }
    }
}
