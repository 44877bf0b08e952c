// app/main.cpp
//
// The command line: parse, call, exit with the status that the contract names.
#include <CLI/CLI.hpp>

#include <iostream>

#include "app/commands.h"
#include "app/inspection.h"
#include "app/manual.h"
#include "app/process.h"
#include "app/register.h"
#include "config/commands.h"

using namespace portloom;

namespace {

constexpr int exit_usage = 2;

struct RunOptions {
  std::vector<std::string> files;
  std::vector<std::string> more;
  std::string listen;
  std::string to;
  std::string engine = "auto";
  size_t workers = 0;
  bool print = false;
};

void add_run(CLI::App& app, RunOptions& options) {
  CLI::App* run = app.add_subcommand("run", "Serve a configuration, or forward one address to one URL.");
  run->footer(
      "Examples:\n  portloom run shop.yaml\n  portloom run -c base.yaml -c prod.yaml\n  portloom run --listen :8080 --to "
      "http://127.0.0.1:3000");
  run->add_option("FILE", options.files, "configuration; without it ./portloom.yaml, $XDG_CONFIG_HOME/portloom/, /etc/portloom/");
  run->add_option("-c,--config", options.more, "configuration file or folder; several merge in this order");
  run->add_option("--listen", options.listen, "without a file: where to listen, host:port or :port");
  run->add_option("--to", options.to, "without a file: where everything goes, http://host:port");
  run->add_flag("--print", options.print, "with --listen and --to: print the configuration instead of serving it");
  run->add_option("--io", options.engine, "auto, io_uring or epoll")->check(CLI::IsMember({"auto", "io_uring", "epoll"}));
  run->add_option("--workers", options.workers, "worker threads; 0 is one per core");
}

int run(RunOptions& options) {
  app::RunSettings settings;
  settings.files = std::move(options.more);
  settings.files.insert(settings.files.end(), options.files.begin(), options.files.end());
  settings.engine = *io::parse_engine(options.engine);
  settings.workers = options.workers;
  if (!options.listen.empty() || !options.to.empty()) {
    Result<std::string> text = app::forwarding_configuration(options.listen, options.to);
    if (!text || !settings.files.empty()) {
      std::cerr << "portloom: " << (text ? "give a file, or --listen and --to, not both" : text.error().detail) << "\n";
      return exit_usage;
    }
    if (options.print) {
      std::cout << *text;
      return 0;
    }
    settings.inline_text = std::move(*text);
  } else if (settings.files.empty()) {
    std::string found = config::default_file();
    if (found.empty()) {
      std::cerr << "portloom: no configuration: name a file, or write ./portloom.yaml, or try `portloom run --listen :8080 --to "
                   "http://127.0.0.1:3000`\n";
      return exit_usage;
    }
    std::cerr << "portloom: using " << found << "\n";
    settings.files = {found};
  }
  return app::run_gateway(std::move(settings));
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app("Portloom: API gateway, backend-for-frontend, service mesh and control plane in one program.", "portloom");
  app.require_subcommand(1);
  RunOptions run_options;
  add_run(app, run_options);

  std::vector<std::string> check_files;
  std::string format = "text";
  bool print = false;
  CLI::App* check = app.add_subcommand("check", "Check configuration files and say everything that is wrong.");
  check->footer(
      "Examples:\n  portloom check shop.yaml\n  portloom check --format github base.yaml prod.yaml\n  portloom check --print shop.yaml");
  check->add_option("FILE", check_files, "files, merged in this order")->required();
  check->add_option("--format", format, "text, json or github")->check(CLI::IsMember({"text", "json", "github"}));
  check->add_flag("--print", print, "print the whole document with the place each value is from");

  app::Inspection inspection(app);
  CLI::App* schema = app.add_subcommand("schema", "Print the JSON Schema of the configuration, for editors.");
  CLI::App* version = app.add_subcommand("version", "Print the version.");

  CLI::App* key = app.add_subcommand("key", "API keys.");
  key->require_subcommand(1);
  std::string consumer;
  CLI::App* key_new = key->add_subcommand("new", "Make an API key: prints it once, and the line to add.");
  key_new->add_option("NAME", consumer, "the consumer's name")->required();

  uint16_t port = 0;
  CLI::App* demo = app.add_subcommand("demo", "Start a shop of seven services with the gateway in front, on this machine.");
  demo->add_option("--port", port, "the gateway's port; 0 takes a free one");

  app::Registration registration(app);
  app::Manual manual(app);

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : exit_usage;
  }
  if (*check) {
    config::Loaded loaded = config::load(check_files, app::make_catalogue());
    app::load_materials(loaded);
    return config::check_command(loaded, *config::parse_problem_format(format), print, std::cout, std::cerr);
  }
  if (*schema) {
    std::cout << config::schema(app::make_catalogue()) << "\n";
    return 0;
  }
  if (*version) {
    std::cout << "portloom " PORTLOOM_VERSION "\n";
    return 0;
  }
  if (std::optional<int> status = inspection.run()) return *status;
  if (*key_new) return app::key_new(consumer, std::cout, std::cerr);
  if (std::optional<int> status = manual.run()) return *status;
  if (std::optional<int> status = registration.run()) return *status;
  if (*demo) return app::demo(port);
  return run(run_options);
}
