//! `cargo xtask release`: everything that a version consists of, in one folder: image and chart as OCI layouts, the chart as Helm takes it, programs
//! and plugin for every platform with a manifest for krew, bills of materials, release notes, and checksums that a program of the publisher's
//! signs. It sends nothing anywhere: docs/developing/releasing.md has the commands that do.

mod archive;
mod chart;
mod components;
mod krew;
mod oci;
mod platform;
mod version;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use self::archive::Contents;
use self::components::Components;
use self::platform::{ALL, Built, Platform};
use self::version::Version;
use crate::image::Image;
use crate::progress::Progress;
use crate::{cluster, process, workspace};

pub(crate) use self::platform::{DARWIN_AMD64, DARWIN_ARM64};

const CHECKSUMS: &str = "SHA256SUMS";

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Makes everything whatever speaks against publishing it, and says what that is
    #[arg(long)]
    dry_run: bool,
    /// Where everything is put; it is emptied first
    #[arg(long, default_value_os_t = workspace::target().join("publish"))]
    into: PathBuf,
    /// Platforms to build for; all that this machine can build for when none is named
    #[arg(long = "platform", value_parser = platform::named)]
    platforms: Vec<&'static Platform>,
    /// A folder with archives of the plugin that were made on another machine: macOS takes a Mac
    #[arg(long)]
    also: Option<PathBuf>,
    /// Where the image will be, as the chart names it
    #[arg(long, default_value = "dataimporter")]
    repository: String,
    /// The address of the folder that the archives will lie in, for krew
    #[arg(long, default_value = "https://dataimporter.example/releases")]
    downloads: String,
    /// A program that signs: it is started with the path of the checksums, and leaves its signature beside them
    #[arg(long, required_unless_present = "dry_run")]
    sign: Option<PathBuf>,
}

pub(crate) fn run(arguments: Arguments) -> Result<ExitCode> {
    let progress = Progress::begin();
    let version = Version::of_this_checkout()?;
    let objections = version.objections()?;
    if !arguments.dry_run && !objections.is_empty() {
        bail!("version {} is not ready:\n  {}", version.number, objections.join("\n  "));
    }
    let platforms = if arguments.platforms.is_empty() {
        ALL.into_iter().filter(|platform| platform.can_be_built_here()).collect()
    } else {
        arguments.platforms.clone()
    };
    if let Some(platform) = platforms.iter().find(|platform| !platform.can_be_built_here()) {
        bail!(
            "{} cannot be built for on this machine: macOS is built for on a Mac, everything else on Linux; --also takes archives",
            platform.name
        );
    }
    let built = platforms.into_iter().map(|platform| platform.build(&progress)).collect::<Result<Vec<_>>>()?;
    let made = progress.during("packing", String::new, || Release::begin(&arguments, version)?.make(&progress, &built))?;
    for objection in &objections {
        println!("a release would refuse: {objection}");
    }
    println!("{made}");
    Ok(ExitCode::SUCCESS)
}

struct Release<'a> {
    arguments: &'a Arguments,
    version: Version,
    folder: PathBuf,
    /// What goes into files that are published, and is not published itself.
    work: PathBuf,
}

impl<'a> Release<'a> {
    fn begin(arguments: &'a Arguments, version: Version) -> Result<Self> {
        let (folder, work) = (std::path::absolute(&arguments.into)?, workspace::target().join("release-work"));
        for folder in [&folder, &work] {
            if folder.exists() {
                fs::remove_dir_all(folder).with_context(|| format!("cannot empty {}", folder.display()))?;
            }
            fs::create_dir_all(folder).with_context(|| format!("cannot create {}", folder.display()))?;
        }
        Ok(Self { arguments, version, folder, work })
    }

    /// Answers with a list of what it made.
    fn make(&self, progress: &Progress, built: &[Built]) -> Result<String> {
        let mut plugins = Vec::new();
        for built in built {
            let components = Components::of(built.platform)?;
            let third_party = self.third_party(built.platform);
            fs::write(&third_party, components.licences()?)?;
            for program in built.dataimporter.iter().chain([&built.plugin]) {
                let (file, sha256) = self.archive(built.platform, program, &third_party)?;
                if *program == built.plugin {
                    plugins.push(krew::Archive { platform: built.platform, file, sha256 });
                }
                let name = stem(program)?;
                let bill = components.bill(&self.version, &name, &fs::read(program)?);
                self.put(&format!("{name}-{}-{}.cdx.json", self.version.number, built.platform.name), pretty(&bill).as_bytes())?;
            }
        }
        plugins.extend(self.also()?);
        self.put("import.yaml", krew::manifest(&self.version.number, &self.arguments.downloads, &plugins)?.as_bytes())?;
        let digest = self.image(built)?;
        if let Some(digest) = &digest {
            self.chart(progress, built, digest)?;
        }
        self.put("release-notes.md", self.notes(digest.as_deref())?.as_bytes())?;
        self.sums()?;
        self.list()
    }

    fn third_party(&self, platform: &Platform) -> PathBuf {
        self.work.join(format!("third-party-{}", platform.name))
    }

    /// Its name, and its SHA-256.
    fn archive(&self, platform: &Platform, program: &Path, third_party: &Path) -> Result<(String, String)> {
        let licence = workspace::root().join("LICENSE");
        let (packed, ending) = archive::of(platform, &Contents { program, licence: &licence, third_party })?;
        let name = format!("{}.{ending}", self.archive_of(&stem(program)?, platform));
        self.put(&name, &packed)?;
        Ok((name.clone(), workspace::digest(&self.folder.join(name))?))
    }

    fn archive_of(&self, program: &str, platform: &Platform) -> String {
        format!("{program}-{}-{}", self.version.number, platform.name)
    }

    /// Archives of the plugin from another machine.
    fn also(&self) -> Result<Vec<krew::Archive>> {
        let Some(from) = &self.arguments.also else { return Ok(Vec::new()) };
        let mut found = Vec::new();
        for platform in ALL.into_iter().filter(|platform| !platform.can_be_built_here()) {
            let file = format!("{}.tar.gz", self.archive_of("kubectl-import", platform));
            if from.join(&file).exists() {
                fs::copy(from.join(&file), self.folder.join(&file)).with_context(|| format!("{file} cannot be copied"))?;
                let sha256 = workspace::digest(&self.folder.join(&file))?;
                found.push(krew::Archive { platform, file, sha256 });
            }
        }
        let wanted = self.archive_of("kubectl-import", &DARWIN_ARM64);
        ensure!(
            !found.is_empty(),
            "{} has no archive of this version for a platform that is not built for here, such as {wanted}.tar.gz",
            from.display()
        );
        Ok(found)
    }

    /// For every platform with pods, under one digest.
    fn image(&self, built: &[Built]) -> Result<Option<String>> {
        let annotations = self.annotations("Dataimporter for Kubernetes");
        let mut packed = Vec::new();
        for Built { platform, dataimporter, .. } in built {
            if let Some(program) = dataimporter {
                let image = Image::of_program("dataimporter", program)?
                    .with_certificate_authorities()
                    .with_document("LICENSE", &workspace::root().join("LICENSE"))
                    .with_document("THIRD-PARTY-LICENSES", &self.third_party(platform));
                packed.push((platform.architecture, image.pack(platform.architecture, &self.version.committed, &annotations)?));
            }
        }
        if packed.is_empty() {
            return Ok(None);
        }
        let layout = oci::image(&packed, &self.version.number, &annotations)?;
        self.put(&format!("dataimporter-image-{}.oci.tar", self.version.number), &layout.archive)?;
        Ok(Some(layout.digest))
    }

    fn chart(&self, progress: &Progress, built: &[Built], digest: &str) -> Result<()> {
        let helm = cluster::build(progress)?.program("helm");
        let platforms: Vec<String> = built
            .iter()
            .filter(|built| built.dataimporter.is_some())
            .map(|built| format!("linux/{}", built.platform.architecture))
            .collect();
        let number = &self.version.number;
        let chart = chart::pack(&helm, &self.work.join("chart"), &self.version, &self.arguments.repository, digest, &platforms)?;
        self.put(&format!("dataimporter-{number}.tgz"), &chart.packed)?;
        let layout = oci::chart(chart.packed, &chart.said, number, &self.annotations("dataimporter"))?;
        self.put(&format!("dataimporter-chart-{number}.oci.tar"), &layout.archive)
    }

    fn annotations(&self, title: &str) -> Value {
        json!({
            "org.opencontainers.image.title": title,
            "org.opencontainers.image.version": self.version.number,
            "org.opencontainers.image.revision": self.version.commit,
            "org.opencontainers.image.created": self.version.committed,
            "org.opencontainers.image.licenses": "Apache-2.0",
        })
    }

    fn notes(&self, digest: Option<&str>) -> Result<String> {
        let Version { number, commit, .. } = &self.version;
        let changes = self.version.changes()?;
        let image = digest
            .map(|digest| format!("- Image: `{}@{digest}`; the chart of this version names it so.\n", self.arguments.repository))
            .unwrap_or_default();
        Ok(format!(
            "# Dataimporter for Kubernetes {number}\n\n{image}- Commit: `{commit}`.\n- Check what you have fetched: `sha256sum --check --ignore-missing \
             {CHECKSUMS}`.\n\n## Changes\n\n{changes}\n"
        ))
    }

    /// Of everything there is, and the signature of the list.
    fn sums(&self) -> Result<()> {
        let sums = self
            .files()?
            .iter()
            .map(|name| Ok(format!("{}  {name}\n", workspace::digest(&self.folder.join(name))?)))
            .collect::<Result<String>>()?;
        self.put(CHECKSUMS, sums.as_bytes())?;
        let Some(sign) = &self.arguments.sign else { return Ok(()) };
        let before = self.files()?;
        process::output(Command::new(std::path::absolute(sign)?).arg(self.folder.join(CHECKSUMS)).current_dir(&self.folder))?;
        let signed = self.files()?.iter().any(|name| name.starts_with(CHECKSUMS) && !before.contains(name));
        ensure!(signed, "{} ended well and left no {CHECKSUMS}.… beside {CHECKSUMS}", sign.display());
        Ok(())
    }

    fn put(&self, name: &str, content: &[u8]) -> Result<()> {
        fs::write(self.folder.join(name), content).with_context(|| format!("cannot write {name}"))
    }

    fn files(&self) -> Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in fs::read_dir(&self.folder)? {
            names.push(entry?.file_name().to_string_lossy().into_owned());
        }
        names.sort();
        Ok(names)
    }

    fn list(&self) -> Result<String> {
        let mut text = format!("version {} of {}, in {}:\n", self.version.number, &self.version.commit[..12], self.folder.display());
        for name in self.files()? {
            let size = fs::metadata(self.folder.join(&name))?.len();
            text.push_str(&format!("  {size:>12} bytes  {name}\n"));
        }
        text.push_str(if self.arguments.sign.is_some() { "signed" } else { "not signed" });
        Ok(text)
    }
}

/// A program's name on any platform.
fn stem(program: &Path) -> Result<String> {
    Ok(program.file_stem().context("a program has a name")?.to_string_lossy().into_owned())
}

fn pretty(value: &Value) -> String {
    serde_json::to_string_pretty(value).expect("a value is JSON")
}
