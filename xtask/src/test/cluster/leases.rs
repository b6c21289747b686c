//! Who tries to get a worker's lease, and gets nothing but the one answer. Each attack is the call that the worker itself makes and
//! gets granted, with one thing wrong in it, or made while one thing about the worker is wrong; afterwards the worker is granted again.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::Check;
use super::pods::OPERATOR;
use super::worker::{Answer, Keeper, Worker, run_namespace};
use crate::demo::Demo;
use crate::kubectl::{Kubectl, condition};
use crate::process;

pub(super) const CHECKS: &[Check] =
    &[("nobody but the current worker gets a lease; every stranger's refusal is the same, and each is audited", only_the_worker)];

const SYSTEM: &str = "dataimporter-system";

fn only_the_worker(demo: &Demo) -> Result<()> {
    let keeper = Keeper::of(demo)?;
    second_job(&demo.kubectl)?;
    let mut stage = Stage {
        demo,
        keeper,
        worker: Worker::of(demo, "acme", "airports", "leases-a")?,
        sibling: Worker::of(demo, "acme", "attacked", "leases-b")?,
        neighbour: Worker::of(demo, "globex", "contacts", "leases-c")?,
        answers: BTreeMap::new(),
        tokens: Vec::new(),
        findings: Vec::new(),
    };
    stage.granted()?;
    stage.tokens_of_others()?;
    stage.other_audiences()?;
    stage.a_pod_with_the_label()?;
    stage.connection_changed()?;
    stage.record_restored()?;
    stage.node_without_its_label()?;
    stage.status_of_the_run()?;
    // These end their workers.
    stage.terminating_and_deleted()?;
    stage.finished()?;
    stage.nothing_was_logged()?;
    stage.verdict()
}

/// Another job of the tenant, so that two of its runs work at once.
fn second_job(kubectl: &Kubectl) -> Result<()> {
    let job = kubectl.json(&["get", "importjob", "airports", "-n", "acme"])?;
    let job = json!({"apiVersion": job["apiVersion"], "kind": "ImportJob", "metadata": {"name": "attacked", "namespace": "acme"}, "spec": job["spec"]});
    kubectl.apply(&job)?;
    Ok(())
}

struct Stage<'a> {
    demo: &'a Demo,
    keeper: Keeper,
    /// The one that is attacked.
    worker: Worker,
    /// Of another run of the same tenant.
    sibling: Worker,
    /// Of another tenant, in another region.
    neighbour: Worker,
    /// What was answered, and to whom.
    answers: BTreeMap<Answer, Vec<&'static str>>,
    /// All that was ever shown to the keeper.
    tokens: Vec<String>,
    findings: Vec<String>,
}

impl Stage<'_> {
    fn kubectl(&self) -> &Kubectl {
        &self.demo.kubectl
    }

    /// The control: with nothing wrong, the worker gets its lease.
    fn granted(&self) -> Result<()> {
        match self.worker.ask_for_itself(&self.keeper)? {
            Answer::Granted => Ok(()),
            Answer::Refused(said) => bail!("control: the worker itself is refused: {said}"),
        }
    }

    /// The call of somebody who is not admitted: what he is answered says nothing.
    fn refused(&mut self, what: &'static str, region: &str, refusals: &[&str], call: impl FnOnce(&Self) -> Result<Answer>) -> Result<()> {
        let answer = self.audited_refusal(what, region, refusals, call)?;
        self.answers.entry(answer).or_default().push(what);
        Ok(())
    }

    /// The call of the current worker: it is told which of its run's objects is in the way, and how its run ends, if it does.
    fn told(&mut self, what: &'static str, refusal: &str, words: &[&str]) -> Result<()> {
        let answer = self.audited_refusal(what, FRANKFURT, &[refusal], |s| s.worker.ask_for_itself(&s.keeper))?;
        let fits = |said: &String| said.starts_with("HTTP/1.1 403") && words.iter().all(|word| said.contains(word));
        if !matches!(&answer, Answer::Refused(said) if fits(said)) {
            self.findings.push(format!("{what}: it is not told {words:?}: {answer:?}"));
        }
        Ok(())
    }

    /// Makes a call that must be refused, and looks for its line in the audit of the region that the caller belongs to.
    fn audited_refusal(
        &mut self,
        what: &'static str,
        region: &str,
        refusals: &[&str],
        call: impl FnOnce(&Self) -> Result<Answer>,
    ) -> Result<Answer> {
        let before = self.audit(region)?.len();
        let answer = call(self).with_context(|| what.to_owned())?;
        let lines = self.audit(region)?.split_off(before);
        let audited = lines.iter().any(|line| line["event"] == "CallRefused" && refusals.iter().any(|r| line["refusal"] == *r));
        if answer == Answer::Granted {
            self.findings.push(format!("{what} was granted a lease"));
        } else if !audited {
            self.findings.push(format!("{what}: no line with {refusals:?} in the audit of {region}, only {lines:?}"));
        } else {
            println!("    refused: {what}");
        }
        Ok(answer)
    }

    fn audit(&self, region: &str) -> Result<Vec<Value>> {
        let volume = region.rsplit('-').next().unwrap_or_default();
        // The keeper of an earlier cluster left a chain that this one's cannot go on with: it has a file of its own beside it.
        let folder = self.demo.folder.join("storage").join(volume).join(region).join("audit");
        let chains = std::fs::read_dir(&folder).with_context(|| format!("no audit at {}", folder.display()))?;
        let chains =
            chains.map(|entry| entry.and_then(|e| Ok((e.metadata()?.modified()?, e.path())))).collect::<std::io::Result<Vec<_>>>()?;
        let (_, path) = chains.into_iter().max().with_context(|| format!("no audit in {}", folder.display()))?;
        let text = std::fs::read_to_string(&path)?;
        text.lines().map(|line| serde_json::from_str(line).context("a line of the audit is not JSON")).collect()
    }

    fn tokens_of_others(&mut self) -> Result<()> {
        self.refused("another run's worker", FRANKFURT, &["Attempt"], |s| s.sibling.ask(&s.keeper, &s.sibling.token, &s.worker.run_uid))?;
        self.refused("another tenant's worker", SYDNEY, &["Namespace"], |s| {
            s.neighbour.ask(&s.keeper, &s.neighbour.token, &s.worker.run_uid)
        })?;
        self.refused("the worker's token at another tenant's address", FRANKFURT, &["Peer"], |s| {
            s.neighbour.ask(&s.keeper, &s.worker.token, &s.worker.run_uid)
        })?;
        self.refused("a second pod of the tenant with the worker's token", FRANKFURT, &["Peer"], |s| {
            s.sibling.ask(&s.keeper, &s.worker.token, &s.worker.run_uid)
        })?;
        self.refused("no token that anybody knows", FRANKFURT, &["Token"], |s| s.worker.ask(&s.keeper, "nonsense", &s.worker.run_uid))?;
        self.granted()
    }

    /// Tokens of the right pod for somebody else than the keeper, as an administrator who poses as its kubelet can have them made.
    fn other_audiences(&mut self) -> Result<()> {
        for (what, audience) in [("a token for another audience", Some("somebody-else")), ("a token for the API server", None)] {
            let token = self.minted(audience)?;
            self.refused(what, FRANKFURT, &["Token"], |s| s.worker.ask(&s.keeper, &token, &s.worker.run_uid))?;
            self.tokens.push(token);
        }
        let installation =
            self.kubectl().run(&["get", "configmap", "dataimporter-installation", "-n", SYSTEM, "-o", "jsonpath={.data.uid}"])?;
        let token = self.minted(Some(&format!("dataimporter-keeper.ap-sydney.{installation}")))?;
        self.refused("a token for another region", FRANKFURT, &["RegionAudience"], |s| s.worker.ask(&s.keeper, &token, &s.worker.run_uid))?;
        self.tokens.push(token);
        let right = self.minted(Some(&format!("dataimporter-keeper.eu-frankfurt.{installation}")))?;
        ensure!(
            self.worker.ask(&self.keeper, &right, &self.worker.run_uid)? == Answer::Granted,
            "control: a token made in the same way for the right audience must be granted"
        );
        self.tokens.push(right);
        Ok(())
    }

    fn minted(&self, audience: Option<&str>) -> Result<String> {
        let (namespace, worker) = (run_namespace("acme"), &self.worker);
        let bound = ["--bound-object-kind=Pod", "--bound-object-name", &worker.pod, "--bound-object-uid", &worker.pod_uid];
        let audience = audience.map(|audience| format!("--audience={audience}"));
        // Only nodes ask for tokens there. This one may ask for any audience, as no real node may.
        let node = ["--as=attacker", "--as-group=system:nodes", "--as-group=system:masters"];
        let arguments = [&["create", "token", "worker", "-n", &namespace, "--duration=10m"], &bound[..], &node].concat();
        let token = self.kubectl().run(&[&arguments[..], &audience.as_deref().into_iter().collect::<Vec<_>>()].concat())?;
        Ok(token.trim().to_owned())
    }

    /// A pod that looks like an attempt of the run in everything but that the operator did not write it down.
    fn a_pod_with_the_label(&mut self) -> Result<()> {
        let namespace = run_namespace("acme");
        let real = self.kubectl().json(&["get", "pod", &self.worker.pod, "-n", &namespace])?;
        let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "spec": real["spec"], "metadata": {
            "name": "labelled", "namespace": namespace, "labels": real["metadata"]["labels"], "ownerReferences": real["metadata"]["ownerReferences"]}});
        pod["spec"].as_object_mut().context("a pod has a spec")?.remove("nodeName");
        let variables = pod["spec"]["containers"][0]["env"].as_array_mut().context("a worker has variables")?;
        let attempt = variables.iter_mut().find(|variable| variable["name"] == "ATTEMPT").context("one of them is its attempt")?;
        attempt["value"] = json!("77");
        self.kubectl().fed(&["create", "-f", "-", "--as", OPERATOR], &pod.to_string())?;
        let labelled = Worker::stopped(self.demo, "acme", &self.worker.run, &self.worker.run_uid, "ATTEMPT=77")?;
        self.refused("a pod with the run's label that is not in its status", FRANKFURT, &["Attempt"], |s| {
            labelled.ask_for_itself(&s.keeper)
        })?;
        self.kubectl().run(&["delete", "pod", "labelled", "-n", &namespace, "--force", "--grace-period=0"])?;
        self.tokens.push(labelled.token.clone());
        self.granted()
    }

    fn patched_connection(&self, patch: &Value) -> Result<()> {
        self.kubectl().run(&["patch", "connection", "crm", "-n", "acme", "--type=merge", "-p", &patch.to_string()]).map(drop)
    }

    fn connection_changed(&mut self) -> Result<()> {
        self.patched_connection(&json!({"spec": {"suspend": true}}))?;
        let suspended = "Connection crm is suspended: set its spec.suspend to false";
        self.told("its worker while the Connection is suspended", "ConnectionSuspended", &[suspended])?;
        self.patched_connection(&json!({"spec": {"suspend": null}}))?;
        self.granted()?;
        let client = |id: &str| json!({"spec": {"salesforce": {"auth": {"clientCredentials": {"clientId": id}}}}});
        self.patched_connection(&client("another-client"))?;
        let moved = ["\"end\":\"AuthorizationFailed\"", "Connection crm points to another endpoint"];
        self.told("its worker after the Connection's endpoint changed", "Endpoint", &moved)?;
        self.patched_connection(&client("demo-client"))?;
        self.granted()
    }

    /// What a restored backup does: the credential of a while ago is back, and has been replaced since.
    fn record_restored(&mut self) -> Result<()> {
        let name =
            format!("connection-{}", self.kubectl().run(&["get", "connection", "crm", "-n", "acme", "-o", "jsonpath={.metadata.uid}"])?);
        let record = |kubectl: &Kubectl| kubectl.json(&["get", "secret", &name, "-n", SYSTEM]);
        let old = record(self.kubectl())?;
        let secret = self.kubectl().json(&["get", "secret", "crm-oauth", "-n", "acme"])?["data"]["clientSecret"].clone();
        self.next_version(&json!("d3Jvbmc="), None)?;
        self.next_version(&secret, Some("Verified"))?;
        self.granted()?;
        let new = record(self.kubectl())?;
        ensure!(old["data"] != new["data"], "control: the record was replaced");
        self.restore(&old)?;
        let rolled_back = ["\"end\":\"AuthorizationFailed\"", "the stored credential of Connection crm is older"];
        self.told("its worker after an older record was restored", "CredentialRolledBack", &rolled_back)?;
        self.restore(&new)?;
        self.granted()
    }

    fn restore(&self, record: &Value) -> Result<()> {
        let mut record = record.clone();
        record["metadata"].as_object_mut().context("a Secret has metadata")?.remove("resourceVersion");
        self.kubectl().fed(&["replace", "-f", "-"], &record.to_string()).map(drop)
    }

    /// Gives the Connection another secret and waits until the keeper has it.
    fn next_version(&self, secret: &Value, reason: Option<&str>) -> Result<()> {
        let connection = || self.kubectl().json(&["get", "connection", "crm", "-n", "acme"]);
        let before = connection()?["status"]["credentialVersion"].as_i64().context("a credential is stored")?;
        self.kubectl().run(&[
            "patch",
            "secret",
            "crm-oauth",
            "-n",
            "acme",
            "-p",
            &json!({"data": {"clientSecret": secret}}).to_string(),
        ])?;
        self.patched_connection(&json!({"metadata": {"annotations": {"dataimporter.io/reconcile-at": before.to_string()}}}))?;
        process::wait_until("the next version of the credential", Duration::from_secs(90), || {
            let seen = connection()?;
            let version = seen["status"]["credentialVersion"].as_i64();
            let ready = condition(&seen, "Ready").map(|(_, reason, _)| reason);
            ensure!(version == Some(before + 1) && reason.is_none_or(|r| ready == Some(r)), "it is {version:?}, {ready:?}");
            Ok(())
        })
    }

    fn node_without_its_label(&mut self) -> Result<()> {
        let label = |value: &str| self.demo.kubectl.run(&["label", "node", "frankfurt", "--overwrite", value]).map(drop);
        let name = "node-restriction.kubernetes.io/dataimporter-region";
        label(&format!("{name}-"))?;
        let refused =
            self.refused("its worker on a node without the label", FRANKFURT, &["NodeRegion"], |s| s.worker.ask_for_itself(&s.keeper));
        label(&format!("{name}=eu-frankfurt"))?;
        refused?;
        self.granted()
    }

    /// The run's status says something else. The operator, which would put it right, is away meanwhile.
    fn status_of_the_run(&mut self) -> Result<()> {
        let operators = |count: &str| -> Result<()> {
            self.demo.kubectl.run(&["scale", "deployment", "dataimporter-operator", "-n", SYSTEM, "--replicas", count])?;
            self.demo.kubectl.run(&["rollout", "status", "deployment/dataimporter-operator", "-n", SYSTEM, "--timeout=120s"]).map(drop)
        };
        operators("0")?;
        process::wait_until("the operator to be gone", Duration::from_secs(60), || {
            let pods = self.demo.kubectl.run(&["get", "pods", "-n", SYSTEM, "-l", "app.kubernetes.io/component=operator", "-o", "name"])?;
            ensure!(pods.is_empty(), "there is {pods}");
            Ok(())
        })?;
        let attempts = self.kubectl().json(&["get", "importrun", &self.worker.run, "-n", "acme"])?["status"]["attempts"].clone();
        let mut elsewhere = attempts.clone();
        elsewhere[0]["node"] = json!("dallas");
        self.with_attempts(&elsewhere, "its worker on another node than is written down", "Node", &attempts)?;
        let mut replaced = attempts.clone();
        let mut second = attempts[0].clone();
        second["number"] = json!(2);
        second["podUID"] = json!("00000000-0000-4000-8000-000000000000");
        replaced.as_array_mut().context("there are attempts")?.push(second);
        self.with_attempts(&replaced, "the worker of an attempt that was replaced", "StaleAttempt", &attempts)?;
        operators("1")
    }

    fn with_attempts(&mut self, planted: &Value, what: &'static str, refusal: &str, real: &Value) -> Result<()> {
        let run = self.worker.run.clone();
        let write = |kubectl: &Kubectl, attempts: &Value| {
            let patch = json!({"status": {"attempts": attempts}}).to_string();
            kubectl.run(&["patch", "importrun", &run, "-n", "acme", "--subresource=status", "--type=merge", "-p", &patch]).map(drop)
        };
        write(self.kubectl(), planted)?;
        self.refused(what, FRANKFURT, &[refusal], |s| s.worker.ask_for_itself(&s.keeper))?;
        write(self.kubectl(), real)?;
        self.granted()
    }

    fn terminating_and_deleted(&mut self) -> Result<()> {
        let namespace = run_namespace("acme");
        ensure!(self.sibling.ask_for_itself(&self.keeper)? == Answer::Granted, "control: the other worker is granted its own lease");
        self.kubectl().run(&[
            "patch",
            "importrun",
            &self.sibling.run,
            "-n",
            "acme",
            "--type=merge",
            "-p",
            r#"{"spec":{"cancel":true}}"#,
        ])?;
        let pod = self.sibling.pod.clone();
        self.kubectl().run(&["delete", "pod", &pod, "-n", &namespace, "--wait=false"])?;
        self.refused("the worker of a pod that is terminating", FRANKFURT, &["Pod"], |s| s.sibling.ask_for_itself(&s.keeper))?;
        self.kubectl().run(&["delete", "pod", &pod, "-n", &namespace, "--force", "--grace-period=0", "--ignore-not-found"])?;
        // The API server remembers for a moment that it knew the token; the cancelled run's snapshot, by which its namespace is known, may
        // be gone before.
        self.refused("the token of a pod that was deleted", FRANKFURT, &["Pod", "Token", "Namespace"], |s| {
            s.worker.ask(&s.keeper, &s.sibling.token, &s.sibling.run_uid)
        })
    }

    fn finished(&mut self) -> Result<()> {
        self.granted()?;
        self.worker.kill()?;
        let (namespace, pod) = (run_namespace("acme"), self.worker.pod.clone());
        process::wait_until("the killed worker's pod to have failed", Duration::from_secs(60), || {
            let phase = self.kubectl().run(&["get", "pod", &pod, "-n", &namespace, "-o", "jsonpath={.status.phase}"])?;
            ensure!(phase == "Failed", "it is {phase}");
            Ok(())
        })?;
        self.refused("the token of a pod that is finished", FRANKFURT, &["Pod"], |s| {
            s.neighbour.ask(&s.keeper, &s.worker.token, &s.worker.run_uid)
        })?;
        // Nothing of all this kept the run from its end.
        self.demo.plugin(&["wait", &format!("acme/{}", self.worker.run), "--timeout", "180"])
    }

    /// Neither a token nor what a lease holds stands in a log, an event or the audit.
    fn nothing_was_logged(&mut self) -> Result<()> {
        let shown = [&self.worker.token, &self.sibling.token, &self.neighbour.token].into_iter().chain(&self.tokens);
        // The signature: what makes the token open anything.
        let secrets: Vec<&str> = shown.filter_map(|token| token.rsplit('.').next()).chain(["demo-client-secret-of-no-value"]).collect();
        let mut text = self.demo.kubectl.run(&["logs", "-n", SYSTEM, "statefulset/dataimporter-keeper", "--tail=-1"])?;
        ensure!(text.contains("a worker's call was refused"), "control: the keeper's log tells of refusals");
        text.push_str(&self.demo.kubectl.run(&["get", "events", "-A", "-o", "json"])?);
        for region in [FRANKFURT, SYDNEY] {
            text.push_str(&serde_json::to_string(&self.audit(region)?)?);
        }
        let leaked = secrets.iter().filter(|secret| text.contains(*secret)).count();
        ensure!(leaked == 0, "{leaked} of {} secrets stand in a log, an event or the audit", secrets.len());
        // Salesforce's tokens begin with the org and an exclamation mark.
        ensure!(!text.contains("!AQ"), "a Salesforce token stands in a log, an event or the audit");
        Ok(())
    }

    fn verdict(mut self) -> Result<()> {
        self.answers.remove(&Answer::Granted);
        if self.answers.len() != 1 {
            self.findings.push(format!("the refusals of strangers are not the same: {:#?}", self.answers));
        }
        ensure!(self.findings.is_empty(), "{}", self.findings.join("\n    "));
        let refused: usize = self.answers.values().map(Vec::len).sum();
        println!("    {refused} refusals of strangers, one answer");
        Ok(())
    }
}

const FRANKFURT: &str = "eu-frankfurt";
const SYDNEY: &str = "ap-sydney";
