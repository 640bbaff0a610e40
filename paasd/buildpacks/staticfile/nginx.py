"""nginx's configuration for a static site, its start script, and the test of both while staging."""

import shutil
from pathlib import Path

from ..failure import StagingFailure
from ..interface import Step
from .options import Options

_MAIN = """\
worker_processes 1;
daemon off;
error_log stderr notice;
pid @TMP@/nginx.pid;
events {{ worker_connections 1024; }}
http {{
  charset utf-8;
  log_format cloudfoundry '$http_x_forwarded_for - $http_referer - [$time_local] "$request" $status $body_bytes_sent';
  access_log /dev/stdout cloudfoundry;
  default_type application/octet-stream;
  include mime.types;
  client_body_temp_path @TMP@/nginx_body;
  proxy_temp_path @TMP@/nginx_proxy;
  fastcgi_temp_path @TMP@/nginx_fastcgi;
  uwsgi_temp_path @TMP@/nginx_uwsgi;
  scgi_temp_path @TMP@/nginx_scgi;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 30;
  port_in_redirect off;
  absolute_redirect off;
  server_tokens off;
  gzip on;
  gzip_comp_level 6;
  gzip_min_length 1100;
  gzip_proxied any;
  gzip_static on;
  gunzip on;
  gzip_types text/plain text/css text/js text/xml text/javascript application/javascript application/x-javascript \
application/json application/xml application/xml+rss image/svg+xml application/manifest+json;
  gzip_vary on;
  map $http_x_forwarded_host $updated_host {{ default $http_x_forwarded_host; '' $host; }}
  map $http_x_forwarded_proto $insecure {{ default 1; https 0; }}
  server {{
    listen @PORT@{http2};
    server_name localhost;
    root @ROOT@/public;
{server}
    location / {{
{location}
    }}
{after}
  }}
}}
"""

_HTTPS = "if ($insecure) { return 301 https://$updated_host$http_x_forwarded_prefix$request_uri; }"

_BOOT = """\
#!/bin/bash
# Put this instance's port and directories into the configuration, then become nginx.
set -e
conf="$HOME/nginx/conf"
https='#'
case "${{FORCE_HTTPS:-}}" in ''|false|0) ;; *) https= ;; esac
sed -e "s|@PORT@|${{PORT:-8080}}|g" -e "s|@ROOT@|$HOME|g" -e "s|@TMP@|$TMPDIR|g" -e "s|@FORCE_HTTPS@|$https|g" \\
  "$conf/nginx.conf.template" > "$conf/nginx.conf"
# nginx opens /dev/stdout anew, which the platform's pipe does not allow; a pipe of our own does.
if ! (: >> /dev/stdout) 2>/dev/null; then exec > >(exec cat); fi
exec {nginx} -p "$HOME/nginx" -c "$conf/nginx.conf" "$@"
"""


def configuration(options: Options) -> str:
    """nginx.conf with @PORT@, @ROOT@, @TMP@ and @FORCE_HTTPS@ to be filled in at start."""
    location = ["index index.html index.htm Default.htm;"]
    if options.pushstate:
        location.insert(0, "if (!-e $request_filename) { rewrite ^(.*)$ / break; }")
    if options.directory:
        location.append("autoindex on;")
    if options.htpasswd:
        location += ['auth_basic "Restricted";', "auth_basic_user_file @ROOT@/nginx/conf/.htpasswd;"]
    if options.ssi:
        location.append("ssi on;")
    if options.http_strict_transport_security:
        parts = "max-age=31536000"
        parts += "; includeSubDomains" if options.http_strict_transport_security_include_subdomains else ""
        parts += "; preload" if options.http_strict_transport_security_preload else ""
        location.append(f'add_header Strict-Transport-Security "{parts}" always;')
    if options.location_include:
        location.append(f"include {options.location_include};")
    after = [] if options.host_dot_files else [r"location ~ /\. { return 404; }"]
    after += [f"error_page {codes} {page};" for codes, page in options.status_codes.items()]
    return _MAIN.format(
        http2=" http2" if options.enable_http2 else "",
        server="    " + (_HTTPS if options.force_https else f"@FORCE_HTTPS@{_HTTPS}"),
        location="\n".join(f"      {line}" for line in location),
        after="\n".join(f"    {line}" for line in after),
    )


def write(step: Step, options: Options) -> None:
    """nginx/conf and boot.sh below the app; the app's own nginx/conf includes stay where they are."""
    conf = step.app / "nginx" / "conf"
    own = step.app / "public" / "nginx" / "conf"
    if not options.root and own.is_dir():
        conf.parent.mkdir(exist_ok=True)
        shutil.copytree(own, conf, dirs_exist_ok=True, symlinks=True)
    conf.mkdir(parents=True, exist_ok=True)
    (step.app / "nginx" / "logs").mkdir(exist_ok=True)
    (conf / "nginx.conf.template").write_text(configuration(options))
    shutil.copyfile(Path(step.plan.facts["nginx"]).parent.parent / "conf" / "mime.types", conf / "mime.types")
    if options.htpasswd:
        (conf / ".htpasswd").write_text(options.htpasswd)
    boot = step.app / "boot.sh"
    boot.write_text(_BOOT.format(nginx=step.plan.facts["nginx"]))
    boot.chmod(0o755)
    (step.deps_dir / "launch.yml").write_text('processes:\n- type: web\n  command: "$HOME/boot.sh"\n')


def check(step: Step) -> None:
    """Let nginx read what will run; its own message is the best there is. Raises StagingFailure."""
    temporary = step.project.layout.temporary / "nginx-check"
    temporary.mkdir(parents=True, exist_ok=True)
    env = {"HOME": str(step.app), "TMPDIR": str(temporary), "PORT": "8080"}
    code, tail = step.run(["/bin/bash", str(step.app / "boot.sh"), "-t", "-q"], env=env)
    (step.app / "nginx" / "conf" / "nginx.conf").unlink(missing_ok=True)
    shutil.rmtree(temporary, ignore_errors=True)
    if code:
        said = next((line for line in tail if "[emerg]" in line), tail[-1] if tail else "no output")
        raise StagingFailure(
            "staticfile",
            f"nginx refuses the configuration: {said.partition('[emerg]')[2].strip() or said}"[:300],
            "correct the Staticfile or the file that location_include names",
        )
