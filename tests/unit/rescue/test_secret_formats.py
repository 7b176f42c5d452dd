# SPDX-License-Identifier: GPL-3.0-or-later
"""Each format of a secret is known by samples, and files of a usual machine that only look like one are none."""

from __future__ import annotations

import base64
import json
import py_compile
import subprocess
import sysconfig
import time
from functools import partial
from pathlib import Path

import pytest

from rear_core.rescue.secrets import Secret, find_secrets

KEY, NETWORK, WIREGUARD, NETRC, CLOUD = (
    "a private key", "a key or password of a network", "a key of WireGuard", "a password of netrc", "a key of a cloud",
)  # fmt: skip
PASSWORD, REGISTRY = "a password or token in a setting", "a login of a registry"
HASH, KEYTAB = "a password hash", "a keytab of Kerberos"

WG = base64.b64encode(bytes(range(32))).decode()
AWS = "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"
PEM = "-----BEGIN PRIVATE KEY-----\nMIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSj/gEAAoIBAQC\n-----END PRIVATE KEY-----\n"
ENCRYPTED = PEM.replace("-----\nMII", "-----\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,0123\n\nMII")
SSH2 = '---- BEGIN SSH2 ENCRYPTED PRIVATE KEY ----\nComment: "rsa key"\nP2/56wAAA+wAAAA3aWYtbW9kbntzaWdue3JzYS1wa2Nz\n'

TEXTS = {
    "NetworkManager, WireGuard": (f"[wireguard]\nprivate-key={WG}\n", WIREGUARD),
    "NetworkManager, its peer": (f"[wireguard-peer.x]\npreshared-key={WG}\npreshared-key-flags=0\n", WIREGUARD),
    "WireGuard with a comment": (f"[Interface]\nprivatekey = {WG} # mine\n", WIREGUARD),
    "WireGuard's own protocol": ("set=1\nprivate_key=" + "0f" * 32 + "\n", WIREGUARD),
    "a passphrase with blanks": ("[wifi-security]\nkey-mgmt=wpa-psk\npsk=my secret pass\n", NETWORK),
    "a passphrase with #": ("[wifi-security]\npsk=abc#def1234\n", NETWORK),
    "a passphrase with $": ("[connection]\nid=x\n\n[wifi-security]\npsk=$ecret1234\n", NETWORK),
    "a passphrase of umlauts": ("[wifi-security]\npsk=\N{LATIN SMALL LETTER A WITH DIAERESIS}bcdefgh\n", NETWORK),
    "a passphrase that could be a variable": ("[wifi-security]\npsk=$ECRET1234\n", NETWORK),
    "a passphrase with %": ("[wifi-security]\npsk=%secret{1}\n", NETWORK),
    "802.1x, raw": ("[802-1x]\npassword-raw=31;32;33\n", NETWORK),
    "802.1x, inner key": ("[802-1x]\nphase2-private-key=/etc/x\nphase2-private-key-password=top secret\n", NETWORK),
    "802.1x, certificate": ("[802-1x]\nclient-cert-password=topsecret\n", NETWORK),
    "a VPN": ("[vpn-secrets]\nIPSec secret=topsecret\n", NETWORK),
    "a VPN, second line": ("[vpn-secrets]\n# mine\nXauth password=\npassword=abc def\n", NETWORK),
    "wpa_supplicant, $": ('network={\n psk="$ecret1234"\n}\n', NETWORK),
    "wpa_supplicant, key": ('network={\n private_key_passwd="top secret"\n}\n', NETWORK),
    "wpa_supplicant, one line": ('network={ ssid="x" psk="topsecret1" }\n', NETWORK),
    "wpa_supplicant, comment": ('network={\n psk="topsecret1" # mine\n}\n', NETWORK),
    "wpa_supplicant, comment before": ("network={\n # psk={\n ssid=\"}\"\n psk=" + "0f" * 32 + " }\n", NETWORK),
    "wpa_supplicant, hash": ("network={\n\tpassword=hash:" + "0f" * 16 + "\n}\n", NETWORK),
    "hostapd": ("ssid=x\nwpa_passphrase=topsecret1\n", PASSWORD),
    "iwd": ("[Security]\nPassphrase=top secret1\n", NETWORK),
    "netplan": ("wifis:\n w:\n  access-points:\n   x:\n    password: topsecret1\n", NETWORK),
    "a setting with a comment": ("user=x\npassword = topsecret1 ; mine\n", PASSWORD),
    "a pin": ("user=x\npin=1234\n", NETWORK),
    "a key of WEP": ("auth_algs=1\nwep_key0=12345abcde\n", NETWORK),
    "OpenStack": ("export OS_USERNAME=admin\nexport OS_PASSWORD=Winter2026\n", PASSWORD),
    "OpenStack, quotes": ("export OS_PASSWORD='to the moon'\n", PASSWORD),
    "OpenStack, clouds.yaml": ("clouds:\n  x:\n    auth:\n      password: topsecret\n", PASSWORD),
    "kubeconfig, password": ("users:\n- name: x\n  user:\n    password: \"top secret\"\n    username: x\n", PASSWORD),
    "kubeconfig, token": ("users:\n- user:\n    token: eyJhbGciOiJSUzI1NiIsImtpZCI6.abc-2_3\n", PASSWORD),
    "a service account": (json.dumps({"token": "eyJhbGciOiJSUzI1NiIsImtpZCI6.abc-2_3"}), PASSWORD),
    "a unit of systemd": ("[Service]\nEnvironment=DB_PASSWORD=topsecret1\n", PASSWORD),
    "a unit of systemd, quotes": ("[Service]\nEnvironment=\"DB_PASSWORD=topsecret1\"\n", PASSWORD),
    "an image": ("FROM x\nENV MYSQL_ROOT_PASSWORD topsecret1\n", PASSWORD),
    "services of containers": ("environment:\n  - POSTGRES_PASSWORD=topsecret\n", PASSWORD),
    "docker": ('{"auths": {"registry": {"auth": "YW5uYTpnZWhlaW0x"}}}', REGISTRY),
    "docker, lines": ('{\n\t"auths": {\n\t\t"x": {\n\t\t\t"auth": "YW5uYTpnZWhlaW0="\n\t\t}\n\t}\n}\n', REGISTRY),
    "AWS, session": ("[x]\naws_session_token = IQoJb3JpZ2luX2VjEJr//////////wEaCXVzLWVhc3Qt\n", PASSWORD),
    "AWS, session in the environment": ("export AWS_SESSION_TOKEN=IQoJb3JpZ2luX2VjEJr/wEaCXVzLWVhc3Qt12==\n", PASSWORD),
    "AWS, session in JSON": (json.dumps({"SessionToken": "IQoJb3JpZ2luX2VjEJr/wEaCXVzLWVhc3Qt12=="}), PASSWORD),
    "Azure, SAS": ("url = https://x.blob/c?sv=2022&sig=" + "aB3%2F" * 10 + "aB3%3D&se=2027\n", CLOUD),
    "a password in capitals": ("USER=x\nPASSWORD=Winter2026\n", PASSWORD),
    "a password with umlauts": ("Password = geh\xe4im\n", PASSWORD),
    "passwd": ("passwd=geheim1\n", PASSWORD),
    "cifs": ("username=anna\npass=geheim\ndomain=x\n", PASSWORD),
    "a camel": ("bindPass = geheim1\nuser=x\n", PASSWORD),
    "Redis": ("requirepass geheim1\n", PASSWORD),
    "a passphrase": ("passphrase=correct-horse\n", PASSWORD),
    "borg": ("BORG_PASSPHRASE=correct-horse\n", PASSWORD),
    "borg, quotes": ('export BORG_PASSPHRASE="correct horse"\n', PASSWORD),
    "restic": ("export RESTIC_PASSWORD=correct-horse\n", PASSWORD),
    "iSCSI": ("node.session.auth.username = x\nnode.session.auth.password = Winter2026\n", PASSWORD),
    "netplan, 802.1x": ("eth0:\n  auth:\n    identity: x\n    password: \"Winter 2026\"\n", PASSWORD),
    "netplan, WireGuard": (f"tunnels:\n  wg0:\n    mode: wireguard\n    key: {WG}\n", WIREGUARD),
    "netplan, WireGuard, keys": (f"wg0:\n  keys:\n    private: '{WG}'\n  mode: wireguard\n", WIREGUARD),
    "netplan, WireGuard, its peer": (f"mode: wireguard\npeers:\n - keys:\n     shared: {WG}\n", WIREGUARD),
    "SUSE": ("WIRELESS='yes'\nWIRELESS_WPA_PSK='top secret'\n", PASSWORD),
    "SUSE, password": ("WIRELESS_WPA_PASSWORD='top secret'\n", PASSWORD),
    "Debian": ("iface wlan0 inet dhcp\n  wpa-ssid x\n  wpa-psk topsecret\n", PASSWORD),
    "Debian, quotes": ('iface wlan0 inet dhcp\n  wpa-psk "top secret"\n', PASSWORD),
    "Debian, password": ("iface wlan0 inet dhcp\n  wpa-identity x\n  wpa-password geheim1\n", PASSWORD),
    "MACsec": ("[MACsecTransmitAssociation]\nPacketNumber=1\nKey=" + "0f" * 16 + "\n", NETWORK),
    "MACsec, its peer": ("[MACsecReceiveAssociation]\nKeyId=1\nKey=" + "0f" * 16 + "\n", NETWORK),
    "MACsec, wpa_supplicant": ("network={\n mka_cak=" + "0f" * 16 + "\n}\n", NETWORK),
    "IPsec": ('%any gateway : PSK "top secret"\n', PASSWORD),
    "IPsec, hexadecimal": (": PSK 0x" + "0f" * 16 + "\n", PASSWORD),
    "IPsec, EAP": ('anna : EAP "geheim1"\n', PASSWORD),
    "IPsec, XAUTH": ('anna : XAUTH "geheim1"\n', PASSWORD),
    "IPsec, NTLM": ("anna : NTLM 0x" + "0f" * 16 + "\n", PASSWORD),
    "IPsec, the passphrase of a key": (': RSA moon.pem "geheim"\n', PASSWORD),
    "swanctl": ('secrets {\n ike-x {\n  secret = "FpZAZqEN6Ti9sqt4"\n }\n}\n', PASSWORD),
    "vpnc": ("IPSec ID x\nIPSec secret geheim99\n", PASSWORD),
    "DRBD": ('net {\n shared-secret "our99secret";\n}\n', PASSWORD),
    "RADIUS": ("client x {\n secret = testing123\n}\n", PASSWORD),
    "a key of Django": ("SECRET_KEY = 'ab0123456789cdefgh'\n", PASSWORD),
    "LDAP, bind": ("binddn cn=x\nbindpw geheim\n", PASSWORD),
    "LDAP, root": ("olcRootPW: geheim\n", PASSWORD),
    "SSSD": ("ldap_default_authtok = geheim\n", PASSWORD),
    "duply": ("GPG_PW='geheim'\n", PASSWORD),
    "a kickstart": ("rootpw --plaintext geheim\n", PASSWORD),
    "a kickstart, LUKS": ("part / --encrypted --passphrase=geheim99\n", PASSWORD),
    "mutt": ('set imap_pass="geheim"\n', PASSWORD),
    "a unit of systemd, several": ('[Service]\nEnvironment="A=1" "B_PASSWORD=geheim"\n', PASSWORD),
    "a unit of systemd, arguments": ("ExecStart=/usr/bin/x --password=geheim99 --more\n", PASSWORD),
    "a unit of systemd, credential": ("[Service]\nSetCredential=word:geheim\n", PASSWORD),
    "fstab": ("//nas/x /mnt cifs username=anna,password=geheim,uid=0 0 0\n", PASSWORD),
    "fstab, pass": ("//nas/x /mnt cifs uid=0,pass=geheim,user=anna 0 0\n", PASSWORD),
    "fstab, percent": ("//nas/x /mnt cifs user=anna%geheim,vers=3.0 0 0\n", PASSWORD),
    "a map of automount": ("x -fstype=cifs,username=anna,password=geheim ://nas/x\n", PASSWORD),
    "a unit of systemd, mount": ("Options=username=anna,password=geheim,vers=3\n", PASSWORD),
    "cifs, blanks": ("username = anna\npassword = my cat 9\n", PASSWORD),
    "cifs, short": ("username=u\npassword=p\n", PASSWORD),
    "pgpass": ("# x\ndb:5432:*:anna:geheim\n", PASSWORD),
    "shadow, DES": ("root:aaFLHdRmPDnJ.:19000:0:99999:7:::\n", PASSWORD),
    "Samba": ("root:0:" + "X" * 32 + ":" + "8846F7EA" * 4 + ":[U          ]:LCT-5F5E1000:\n", PASSWORD),
    "SNMP": ("createUser anna SHA geheim99 AES geheim98\n", PASSWORD),
    "SNMP, quotes": ('createUser anna SHA-256 "my geheim" AES "geheim98"\n', PASSWORD),
    "SNMP, community": ("rocommunity geheim 10.0.0.0/8\n", PASSWORD),
    "SNMP, its state": ("usmUser 1 3 0x8000 0x6d79 NULL .1.3 0x" + "3f" * 20 + " .1.3 0x" + "3f" * 16 + "\n", PASSWORD),
    "NTP": ("1 MD5 geheim9\n", PASSWORD),
    "chrony": ("10 SHA1 HEX:DC0F1B5E5B2B3F3D # x\n", PASSWORD),
    "PPP": ("anna * geheim99 *\n", PASSWORD),
    "PPP, quotes": ('"anna" * "geheim"\n', PASSWORD),
    "cloud-init": ("chpasswd:\n  expire: false\n  list: |\n    root:geheim\n", PASSWORD),
    "cloud-init, braces": ("users:\n - {name: root, password: geheim, type: text}\n", PASSWORD),
    "an installer of Debian": ("d-i passwd/root-password password geheim\n", PASSWORD),
    "XML": ("<server><username>u</username><password>geheim</password></server>\n", PASSWORD),
    "XML, attribute": ('<user username="x" password="geheim" roles="y"/>\n', PASSWORD),
    "XML, Pacemaker": ('<nvpair name="passwd" value="geheim"/>\n', PASSWORD),
    "XML, wicked": ("<wpa-psk><passphrase>geheim12</passphrase></wpa-psk>\n", PASSWORD),
    "HTTP": ("curl -H 'Authorization: Basic dXNlcjpnZWhlaW0x' x\n", PASSWORD),
    "GitHub": ("x ghp_" + "aB3x" * 9 + "\n", PASSWORD),
    "npm": ("//registry/:_authToken=" + "aB3x" * 9 + "\n", PASSWORD),
    "a URL": ("http_proxy=http://anna:geheim@proxy:3128\n", "a password in a URL"),
    "a URL, git": ("https://anna:ge%40heim@git.example.com\n", "a password in a URL"),
    "WEP, SUSE": ("WIRELESS_KEY_0='s:geheim12'\n", NETWORK),
    "WEP, SUSE, digits": ("WIRELESS_KEY_1='1234-5678-90'\n", NETWORK),
    "WEP, Red Hat": ("KEY1=1234567890\n", NETWORK),
    "WEP, Debian": ("iface wlan0 inet dhcp\n  wireless-key s:geheim12\n", NETWORK),
    "Ceph": ("[client.admin]\n\tkey = AQ" + "aB3/" * 9 + "==\n", "a key of Ceph"),
    "Ceph, fstab": ("x:/ /mnt ceph name=admin,secret=AQ" + "aB3/" * 9 + "== 0 0\n", "a key of Ceph"),
    "BitLocker": ("Recovery Key:\n\n  " + "-".join(["123456"] * 8) + "\n", "a key that recovers a disk"),
    "systemd-cryptenroll": ("-".join(["ccdigurb"] * 8) + "\n", "a key that recovers a disk"),
    "DNSSEC": ("Private-key-format: v1.3\nAlgorithm: 13 (ECDSAP256SHA256)\n", KEY),
    "minisign": ("untrusted comment: minisign encrypted secret key\nRWRTY0Iy" + "aB3/" * 12 + "\n", KEY),
    "a TPM": ("-----BEGIN TSS KEY BLOB-----\n" + "aB3/" * 12 + "\n", KEY),
    "borg, key": ("BORG_KEY " + "0f" * 32 + "\n" + "aB3/" * 12 + "\n", KEY),
    "JWK, EC": (json.dumps({"kty": "EC", "x": "f83OJ3", "d": "jpsQnnGQmL-YBIffH1136cspYG6-0iY7X1fC"}), KEY),
    "JWK, RSA, d first": (json.dumps({"d": "X4cTteJY_gn4FYPsXB8rdXix5vwsg1FLN5E3", "kty": "RSA", "n": "0vx7"}), KEY),
    "JWK, symmetric": (json.dumps({"kty": "oct", "k": "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQ"}, indent=1), KEY),
    "BIND": ('key "rndc-key" {\n\talgorithm hmac-sha256;\n\tsecret "' + WG + '";\n};\n', "a key of BIND"),
    "NVMe": ("DHHC-1:00:" + "aB3/" * 12 + ":\n", "a key of NVMe"),
    "NVMe, in a setting": (json.dumps({"dhchap_key": "DHHC-1:01:" + "aB3/" * 12 + "aA==:"}), "a key of NVMe"),
    "netrc, default": ("default login anna password geheim1\n", NETRC),
    "netrc, default, reversed": ("default\n\tpassword geheim1\n\tlogin anna\n", NETRC),
    "netrc, no login": ("# x\nmachine host password geheim1\n", NETRC),
    "netrc, reversed": ("machine host password geheim1 login anna\n", NETRC),
    "netrc, account": ("machine host login anna account x password geheim1\n", NETRC),
    "netrc, port": ("machine host port 8443 login anna password geheim1\n", NETRC),
    "netrc, lines": ("machine host\n  login anna\n  password $geheim1\n", NETRC),
    "netrc, written by a script": ("echo machine host login anna password geheim1 > ~/.netrc\n", NETRC),
    "AWS, environment": (f"export AWS_SECRET_ACCESS_KEY='{AWS}'\n", CLOUD),
    "AWS, JSON": (json.dumps({"Credentials": {"SecretAccessKey": AWS}}), CLOUD),
    "AWS, JSON in JSON": (json.dumps(json.dumps({"SecretAccessKey": AWS})), CLOUD),
    "AWS, image": (f"FROM x\nENV AWS_SECRET_ACCESS_KEY {AWS}\n", CLOUD),
    "AWS, s3cmd": (f"[default]\nsecret_key = {AWS}\n", CLOUD),
    "AWS, s3fs": (f"AKIAIOSFODNN7EXAMPLE:{AWS}\n", CLOUD),
    "rclone": (f"[s3]\nsecret_access_key = {AWS}\n", CLOUD),
    "rclone, a server of one's own": ("[s3]\nsecret_access_key = 0123456789abcdefABCDEF01\n", CLOUD),
    "Azure, JSON": ('{"client_secret": "aB~8Q~abcdefghijklmnopqrstuvwxyz012.34"}', CLOUD),
    "Azure, environment": ("AZURE_CLIENT_SECRET=aB~8Q~abcdefghijklmnopqrstuvwxyz012.34\n", CLOUD),
    "Azure, camels": ("clientSecret: aB_8Q-abcdefghijklmnopqrstuvwxyz012.34\n", CLOUD),
    "Azure, storage": ("AZURE_STORAGE_KEY=" + "aB3/" * 21 + "aA==\n", CLOUD),
    "Azure, rclone": ("[x]\ntype = azureblob\nkey = " + "aB3/" * 21 + "aA==\n", CLOUD),
    "Azure, its command line": (json.dumps({"appId": "x", "password": "aB~8Q~abcdefghijklmnop"}, indent=1), CLOUD),
    "Azure, bus": (f"Endpoint=sb://x/;SharedAccessKey={WG}\n", CLOUD),
    "Google": (json.dumps({"private_key": PEM}), KEY),
    "PEM in JSON, ends of lines": (json.dumps({"k": PEM.replace("\n", "\r\n")}), KEY),
    "PEM in JSON, slashes": (json.dumps({"k": PEM}).replace("/", "\\/"), KEY),
    "PEM in JSON, numbers": (json.dumps({"k": PEM}).replace("\\n", "\\u000a"), KEY),
    "PEM in JSON in JSON": (json.dumps(json.dumps({"k": PEM.replace("\n", "\r\n")})), KEY),
    "PEM in JSON, encrypted": (json.dumps({"k": ENCRYPTED}), KEY),
    "PEM in a URL": (PEM.replace("\n", "%0A"), KEY),
    "PEM in XML": (f"<key a='{PEM}'/>".replace("\n", "&#10;"), KEY),
    "PEM with a blank": (PEM.replace("-----\n", "----- \n"), KEY),
    "PEM on a line": (f"KEY='{PEM}'".replace("\n", " "), KEY),
    "PEM on a line, encrypted": (ENCRYPTED.replace("\n", " "), KEY),
    "PEM without ends of lines": (PEM.replace("\n", ""), KEY),
    "PEM in a program": ("\n".join(f'"{line}\\n"' for line in PEM.splitlines()), KEY),
    "PEM in YAML": ("key: |\n" + "".join(f"    {line}\n" for line in PEM.splitlines()), KEY),
    "kubeconfig": ("client-key-data: " + base64.b64encode(PEM.encode()).decode(), KEY),
    "kubeconfig, RSA": (
        "client-key-data: " + base64.b64encode(PEM.replace("BEGIN", "BEGIN RSA").encode()).decode(), KEY,
    ),
    "kubeconfig, EC": (
        "client-key-data: " + base64.b64encode(PEM.replace("BEGIN", "BEGIN EC").encode()).decode(), KEY,
    ),
    "SSH2": (SSH2, KEY),
    "SSH2, comment on two lines": (SSH2.replace("rsa key", "rsa \\\nkey"), KEY),
    "PGP": ("-----BEGIN PGP PRIVATE KEY BLOCK-----\nVersion: x\nComment: x y\n\n" + "lIYE" * 16 + "\n", KEY),
    "gpg-agent": (
        "Created: 20261129T005903\nKey: (private-key (rsa (n #00B8885FCB770D802AD51FB8D96C0452C72B5B9C463C\n BCB8", KEY,
    ),
    "gpg-agent, protected": (
        "Key: (protected-private-key (ecc (curve Ed25519)(flags eddsa)(q\n  #406425C1#)\n (protected openpgp-s2k3", KEY,
    ),
    "gpg-agent, binary": ("(11:private-key(3:rsa(1:n5:abcde)))", KEY),
    "gpg-agent, binary, protected": ("(21:protected-private-key(3:rsa(1:n5:abcde)))", KEY),
    "OpenVPN, inline": ("client\n<auth-user-pass>\nanna\ngeheim\n</auth-user-pass>\n", PASSWORD),
    "postfix": ("# x\n[smtp.example.com]:587 anna@example.com:geheim\n", PASSWORD),
    "ddclient": ("protocol=dyndns2\nlogin=anna, password=geheim\nhost.example.com\n", PASSWORD),
    "ddclient, lines": ("login=anna \\\npassword='geheim' \\\nhost.example.com\n", PASSWORD),
    "ddclient, one line": ("protocol=x, server=y, login=anna,password='geheim' host\n", PASSWORD),
    "fetchmail": ('poll mail proto imap\n  user "anna" there with password "geheim" is anna here\n', PASSWORD),
    "fetchmail, pass": ("poll mail.example.com proto pop3 user 'anna' pass 'geheim'\n", PASSWORD),
    "mosquitto": ("anna:$7$101$Pq2aIcxvnBmk7wF3$" + "aB3+" * 21 + "aA==\n", HASH),
    "mosquitto, before": ("anna:$6$Pq2aIcxvnBmk7w+/$" + "aB3/" * 21 + "aA==\n", HASH),
    "arguments of mysql": ("#!/bin/sh\nmysqldump -u root -pgeheim99 db > x\n", PASSWORD),
    "arguments of mysql, quotes": ("mysql -h db -p'my geheim' -u anna\n", PASSWORD),
    "arguments of mongo": ("mongodump -u anna -p geheim --out x\n", PASSWORD),
    "arguments of sshpass": ("sshpass -p geheim ssh anna@x\n", PASSWORD),
    "arguments of sshpass, joined": ("sshpass -p'to the moon' ssh anna@x\n", PASSWORD),
    "arguments of ldapsearch": ("ldapsearch -x -D cn=admin -w geheim\n", PASSWORD),
    "arguments of redis-cli": ("redis-cli -h x -a geheim save\n", PASSWORD),
    "arguments of ipmitool": ("ipmitool -I lanplus -H bmc -U admin -P geheim power off\n", PASSWORD),
    "arguments of zip": ("zip -r -P geheim x.zip /srv\n", PASSWORD),
    "arguments of plink": ("plink -batch -pw geheim anna@x\n", PASSWORD),
    "arguments of docker": ("docker login -u anna -p geheim registry.example.com\n", PASSWORD),
    "arguments of smbclient": ("smbclient //nas/x -U anna%geheim -c ls\n", PASSWORD),
    "arguments of openssl": ("openssl enc -aes-256-cbc -pass pass:geheim -in x\n", PASSWORD),
    "arguments of wget": ("wget --http-user=anna --http-password=geheim https://x/\n", PASSWORD),
    "arguments with a token": ("x --access-token 0123abcdefgh --all\n", PASSWORD),
    "chpasswd in a script": ("echo 'root:geheim' | chpasswd\n", PASSWORD),
    "cryptsetup in a script": ("echo -n geheim | cryptsetup open /dev/sda2 root -\n", PASSWORD),
    "for one command": ("PGPASSWORD=geheim psql -h db\n", PASSWORD),
    "for one command, below another": ("sudo env RESTIC_PASSWORD='to the moon' restic backup /\n", PASSWORD),
    "for a container": ("docker run -d -e MYSQL_ROOT_PASSWORD=geheim -p 3306:3306 mysql\n", PASSWORD),
    "an API key": ("api_key = 0123456789abcdef0123\n", PASSWORD),
    "an API key, environment": ("export DATADOG_API_KEY=0123456789abcdef0123\n", PASSWORD),
    "nginx": ('proxy_set_header Authorization "Basic YW5uYTpnZWhlaW0x";\n', PASSWORD),
    "a header in JSON": ('{"Authorization": "Bearer 0123456789abcdef"}\n', PASSWORD),
    "redis": ("bind 127.0.0.1\nrequirepass geheim\n", PASSWORD),
    "redis, its server": ("masterauth geheim\n", PASSWORD),
    "redis, a user": ("user anna on +@all ~* >geheim\n", PASSWORD),
    "keepalived": ("  authentication {\n    auth_type PASS\n    auth_pass geheim\n  }\n", PASSWORD),
    "haproxy": ("userlist x\n  user anna insecure-password geheim\n", PASSWORD),
    "haproxy, statistics": ("  stats auth admin:geheim\n", PASSWORD),
    "squid": ("cache_peer proxy parent 3128 0 no-query login=anna:geheim\n", PASSWORD),
    "SQL": ("CREATE USER 'anna'@'%' IDENTIFIED BY 'geheim';\n", PASSWORD),
    "SQL of PostgreSQL": ("ALTER ROLE anna WITH LOGIN PASSWORD 'geheim';\n", PASSWORD),
    "PHP": ("<?php\ndefine('DB_PASSWORD', 'geheim');\n", PASSWORD),
    "PHP, array": ("  'password' => 'geheim',\n", PASSWORD),
    "PHP, variable": ("$dbpass = 'geheim';\n", PASSWORD),
    "a token of PyPI": ("x pypi-AgEIcHlwaS5vcmc" + "aB3_" * 12 + " y\n", PASSWORD),
    "a token of Stripe": ("x(sk_live_" + "aB3d" * 6 + ")\n", PASSWORD),
    "a webhook": ("curl https://hooks.slack.com/services/T0123/B0123/" + "aB3d" * 6 + "\n", PASSWORD),
    "a JWT": ("x eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxMjM0In0.dozjgNryP4J3jVmNHl0w5N_XgL0n3I9P\n", PASSWORD),
    "arguments of curl": ("curl -sS -u anna:geheim99 https://x/\n", PASSWORD),
    "arguments of curl, long": ("curl --user 'anna:geheim' https://x/\n", PASSWORD),
    "arguments of curl, joined": ("curl -uanna:geheim https://x/\n", PASSWORD),
    "age": ("# x\nAGE-SECRET-KEY-1" + "Q" * 58 + "\n", "a private key of age"),
    "PuTTY, in a text": (
        "  PuTTY-User-Key-File-2: ssh-rsa\n  Encryption: none\n  Private-Lines: 14\n", "a private key of PuTTY",
    ),
    "OpenVPN, for one client": (
        "-----BEGIN OpenVPN tls-crypt-v2 client key-----\n" + "aB3/" * 12 + "\n", "a key of OpenVPN",
    ),
    "sha1": ("u:$sha1$40000$jtNX3nZ2$hBNaIXkt4wBI2o5rsi8KejSjNqIq\n", HASH),
    "argon2": ("u:$argon2id$v=19$m=65536,t=3,p=4$c29tZXNhbHQ$RdescudvJCsgt3ub+b0dWRWJTmaaJObG+RdescudvJC\n", HASH),
    "LDAP": ("rootpw {SSHA}" + base64.b64encode(bytes(range(28))).decode() + "\n", HASH),
}  # fmt: skip
# The beginnings of what gpg, keytool, openssl and ktutil have written.
BINARIES = {
    "PEM in UTF-16": (PEM.encode("utf-16").hex(), KEY),
    "PEM in UTF-16, big end first": (PEM.replace("BEGIN ", "BEGIN RSA ").encode("utf-16-be").hex(), KEY),
    "PGP, RSA": ("9501d8046b0b78d7010400b8885fcb770d802ad51fb8d96c0452c72b5b9c463cbcb8e08b3057", KEY),
    "PGP, EdDSA": ("9486046b0b78d716092b06010401da470f010107406425c19715847ca61e7a6eee72366d1ab4", KEY),
    "PGP, new packet": ("c558046b0b78d716092b06010401da470f010107406425c19715847ca61e7a6eee72366d1ab4", KEY),
    "PGP, RFC 9580": ("c54b06 6b0b78d7 1b 00000020" + "0f" * 32, KEY),
    "JKS": ("feedfeed000000020000000100000001000161000001a224d02910000002ba308202b6", KEY),
    "JKS, behind certificates": ("feedfeed000000020000000200000002000174" + "00" * 40 + "2b060104012a02110101", KEY),
    "JCEKS": ("cececece000000020000000100000001000161000001a224da285c000002a6308202a2", KEY),
    "PKCS 12, open lengths": ("3080020103308006092a864886f70d010701a0802480", KEY),
    "EC, 521 bits": ("3081dc0201010442" + "0f" * 66, KEY),
    "DSA in PKCS 8": ("30820164020100308201290607 2a8648ce380401 3082011c02818100", KEY),
    "keytab": ("0502000000470002000b4558414d504c452e434f4d", KEYTAB),
    "keytab, first deleted": ("0502ffffffb90002000b4558414d504c452e434f4d", KEYTAB),
}

# Known by the names of their files as well.
PLACED = {
    "racoon": ("etc/racoon/psk.txt", "# peers\n10.0.0.1\tgeheim\n"),
    "pppd": ("etc/ppp/chap-secrets", "# x\nanna * geheim *\n"),
    "pppd, quotes": ("etc/ppp/pap-secrets", '"anna x"\tserver\t"mein geheim"\n'),
    "davfs2": ("etc/davfs2/secrets", "# x\n/mnt/dav anna geheim\n"),
    "davfs2, quotes": ("root/.davfs2/secrets", '"https://dav.example.com/my files" anna "mein geheim"\n'),
    "postfix, a host": ("etc/postfix/sasl_passwd", "smtp.example.com anna@example.com:geheim\n"),
    "postfix, its table": ("etc/postfix/sasl_passwd.db", "\0\0\0\0anna:geheim\0smtp.example.com"),
    "rsyncd": ("etc/rsyncd.secrets", "anna:geheim\n"),
    "rsync": ("root/.rsync_password", "geheim\n"),
    "mosquitto": ("etc/mosquitto/passwd", "anna:geheim\n"),
    "mosquitto, elsewhere": ("etc/mosquitto_pwfile", "# x\nanna:geheim\n"),
    "fetchmail": ("root/.fetchmailrc", "poll mail.example.com proto imap user anna password geheim is anna here\n"),
    "curl": ("root/.curlrc", 'silent\nuser = "anna:geheim"\n'),
    "curl, argument": ("root/.curlrc", "--user anna:geheim\n"),
    "OpenVPN": ("etc/openvpn/client/home.txt", "anna\ngeheim\n"),
    "OpenVPN, no end of line": ("etc/openvpn/login.conf", "anna\ngeheim"),
    "OpenVPN, elsewhere": ("etc/vpn/auth.txt", "anna@example.com\ngeheim\n"),
}  # fmt: skip
NOT_PLACED = {
    "pppd as it comes": (
        "etc/ppp/pap-secrets",
        "# INBOUND\n*\thostname\t\"\"\t*\n\nguest\thostname\t\"*\"\t-\nroot\thostname\t\"*\"\t-\n# anna * geheim\n",
    ),
    "pppd, a file": ("etc/ppp/chap-secrets", "anna * @/etc/ppp/secret *\n"),
    "davfs2 as it comes": ("etc/davfs2/secrets", "# davfs2 secrets file\n# /mnt/dav  anna  geheim\n\n"),
    "racoon as it comes": ("etc/racoon/psk.txt", "# IPv4/v6 addresses\n# 10.160.94.3\tmekmitasdigoat\n"),
    "postfix as it comes": ("etc/postfix/main.cf", "smtp_sasl_password_maps = hash:/etc/postfix/sasl_passwd\n"),
    "rsyncd as it comes": ("etc/rsyncd.conf", "secrets file = /etc/rsyncd.secrets\nauth users = anna\n"),
    "fetchmail as it comes": ("etc/default/fetchmail", "# declare\nSTART_DAEMON=no\n"),
    "OpenVPN as it comes": ("etc/openvpn/update-resolv-conf", "#!/bin/bash\n\n[ -x /sbin/resolvconf ] || exit 0\n"),
    "OpenVPN, settings": ("etc/openvpn/client.conf", "client\nauth-user-pass login.txt\nca ca.crt\n"),
    "OpenVPN, one setting": ("etc/openvpn/two.conf", "client\nremote x 1194\n"),
    "PAM": ("etc/pam.d/login", "auth optional pam_faildelay.so delay=3\nauth requisite pam_nologin.so\n"),
    "a list of two": ("etc/shells.d/two", "one\nother\n"),
    "mosquitto": ("etc/mosquitto/mosquitto.conf", "password_file /etc/mosquitto/passwd\npid_file /run/x:y\n"),
}  # fmt: skip

HARMLESS = {
    "arguments that ask": "mysql -u root -p < x\nmysqldump -u x -p $DB\nmysql -p$PASS\nmysql -p\"$PASS\" -h x\n",
    "arguments of others": "mysqld --port 3306\nps -pid\nmysqladmin --defaults-file=/etc/mysql/debian.cnf ping\n",
    "curl without one": 'curl -u "$USER:$PASS" x\ncurl -u user:secret x\ncurl -u a x\ncurl --user-agent a:bcde x\n',
    "other arguments that ask": "sshpass -p $PASS ssh x\nldapsearch -x -W -D cn=x\nzip -r x.zip y -P\n",
    "sshpass by other ways": "sshpass -e ssh x\nsshpass -f /root/x ssh y\nsmbclient //nas/x -A /root/z\n",
    "long arguments in a help": "--password=PASSWORD --http-password=<password> --password=string --token TOKEN\n",
    "a container's variables": "docker run -e PASSWORD -e DB_PASSWORD=$PASS -e PASSWORD=changeme x\n#PASSWORD=geheim\n",
    "services without one": "# requirepass foobared\nuser anna on +@all\nauth_pass $PASS\nuser anna nopass\n",
    "SQL without one": "IDENTIFIED BY '$PASS'\nPASSWORD 'secret'\nIDENTIFIED BY PASSWORD\n",
    "PHP without one": "'password' => '',\n'password' => 'required',\n$pass = '';\n$x = $pass;\n",
    "fetchmail asks": "poll mail.example.com proto imap user anna is anna here\n",
    "OpenVPN asks": "client\nauth-user-pass\n<ca>\n-----BEGIN CERTIFICATE-----\n",
    "ddclient without one": "login=anna, password=\nlogin=anna\n",
    "relays of postfix": "relayhost = [mail.example.com]:587\n[1] https://example.com/\n",
    "fstab with a file of a password": "//nas/x /mnt cifs credentials=/etc/nas,username=anna,vers=3.0 0 0\n",
    "options without one": "Options=username=anna,password=,vers=3\nuser=anna,rw,nofail\n",
    "URLs": "http://proxy:3128/x@y ssh://root@host:22/ cifs://user:password@host/share http://$USER:$PASS@host/\n",
    "snmpd.conf": "rocommunity  public default -V systemonly\ncom2sec notConfigUser default public\n#createUser x M\n",
    "inittab": "1:2345:respawn:/sbin/getty 38400 tty1\nid:2:initdefault:\n",
    "group, shadow": "shadow:x:42:\nroot:*:19000:0:99999:7:::\nroot:!:19000:0:99999:7:::\nsync:x:4:65:x:/bin:/sync\n",
    "crontab": "17 * * * * root cd / && run-parts --report /etc/cron.hourly\n5 * 9999 *  x\n",
    "limits.conf": "*  soft  nofile  65535\n",
    "a secret of Kubernetes": "  secretName: x-1\n  secret: none\n  secret: web-tls\n",
    "arguments": "x --password=$PASS1 --passphrase-fd 0 --password-file=/etc/x1 --password FILE\n",
    "sssd.conf": "ldap_default_authtok_type = password\n# ldap_default_authtok = geheim\n",
    "wireless without a key": "iface wlan0 inet dhcp\n  wireless-key off\nWIRELESS_KEY_0=''\nKEYMAP=de\nKEY1=\n",
    "a UUID": "12345678-1234-1234-1234-123456789012 123456-123456\n",
    "chpasswd of random words": "chpasswd:\n  expire: false\n  list: |\n    root:RANDOM\n    x:R\n",
    "XML without one": "<password></password><user password=\"\"/><field name='password'/>\n",
    "nsswitch.conf": "passwd:         files\ngroup:          files systemd\n",
    "services": "kpasswd\t\t464/tcp\npassword-chg 586/tcp\n",
    "asked for": "pass = prompt\npassword = ask\npassword: null\npassword = ''\npassword=\"\"\nPASSWORD=\n",
    "pam, short": "password sufficient pam_unix.so\n-password optional pam_gnome_keyring.so\n",
    "comments": "# password = topsecret1\n;passwd=topsecret1\n  # token: abcdefgh12345678ij\n",
    "debconf.conf": "Name: passwords\nAccept-Type: password\nFilename: /var/cache/debconf/passwords.dat\n",
    "openssl.cnf": "challengePassword = A challenge password\nchallengePassword_min = 4\n# input_password = secret\n",
    "a script": 'PASS=$1\npasswd=$(cat /x)\nPASSWORD="$PASS"\nPASSWORD=${PASSWORD:-x}\nread -r pass\npasswd=`cat /x`\n',
    "a program with passwords": "  password: str\n  password = args.password\n  token = token2(it)\nbypass = route1\n",
    "a program with a table": 'kinds = {"password": "Password", "token": "a token for 1 day", "passwd": "********"}\n',
    "a path": "password=/etc/our/password.txt\nPASSWD=/usr/bin/passwd\n",
    "a workflow": "  token: ${{ secrets.GITHUB_TOKEN }}\n  password: {{ vault_password1 }}\n",
    "sentences with passwords": "the\npassword again. The\npassword stored\nthere has 8 letters\n",
    "public JWK": json.dumps({"keys": [{"kty": "EC", "x": "f83OJ3D2xF1Bg8vub9tLe1gHMzV76e8Tus9uPHvRVEU"}]}),
    "no secret of BIND": '\tsecret "<key>";\n// secret "x";\n',
    "no login of a registry": '{"auth": "basic", "auth": ""}',
    "a public key of netplan": f"mode: wireguard\npeers:\n- keys:\n    public: {WG}\n",
    "PSK without one": "ipsec: authby=psk\nmodes: WPA-PSK WPA2-PSK\nkey_mgmt=WPA-PSK\n# : PSK \"topsecret\"\n",
    "sshd_config": "#HostKey /etc/ssh/ssh_host_rsa_key\nPasswordAuthentication no\n#PermitEmptyPasswords no\n",
    "passwd": "root:x:0:0:root:/root:/bin/bash\nnobody:*:65534:65534::/:/usr/sbin/nologin\n",
    "login.defs": "PASS_MAX_DAYS\t99999\nENCRYPT_METHOD YESCRYPT\n",
    "pam": "password\t[success=1 default=ignore]\tpam_unix.so obscure use_authtok yescrypt\n",
    "fstab": "//nas/x /mnt cifs credentials=/etc/nas,vers=3.0 0 0\n",
    "NetworkManager.conf": "[main]\nplugins=ifupdown,keyfile\n\n[ifupdown]\nmanaged=false\n",
    "a network asked for": "[wifi-security]\nkey-mgmt=wpa-psk\npsk-flags=2\npsk=\n\n[ipv4]\nmethod=auto\n",
    "802.1x by files": "[802-1x]\nprivate-key=/etc/ssl/x.key\nprivate-key-password-flags=1\n#password=topsecret\n",
    "a VPN without secrets": "[vpn-secrets]\n\n[ipv4]\nmethod=auto\n",
    "a keyfile that a script writes": "cat <<EOF\n[wifi-security]\npsk=$PSK\n[802-1x]\npassword=${PASS}\nEOF\n",
    "a template": "[wifi-security]\npsk={{ psk }}\n[802-1x]\npassword=<your password>\npin=@PIN@\n",
    "wpa_supplicant.conf": 'network={\n ssid="x"\n key_mgmt=NONE\n # psk="topsecret1"\n #psk="topsecret1"\n}\n',
    "a block that a script writes": 'printf "network={\n ssid="$SSID"\n psk="$PSK"\n psk="${psk}"\n}\n"\n',
    "settings of programs": "password = ask('Password: ')\npassword = None\npassword = auth[2]\npin=$1\npin=$P # x\n",
    "netplan": "wifis:\n w:\n  access-points:\n   x:\n    password: <secret>\n",
    "netrc": "machine host login anna password <your password>\n#default login anna password\n",
    "netrc in a program": 'x = f"machine {host} login {name} password {me.word}"\n"machine %s login %s password %s"\n',
    "netrc, anonymous": "default login anonymous password user@site\n",
    "sentences": "default login and password are in\na virtual machine with password prompts\ndefault password is x\n",
    "AWS": "[default]\naws_access_key_id = AKIAIOSFODNN7EXAMPLE\naws_secret_access_key = <YOUR_SECRET_KEY>\n",
    "AWS in a program": "client(aws_secret_access_key=settings.SECRET_ACCESS_KEY, SecretAccessKey=secretAccessKey)\n",
    "Azure": 'client_secret = your-client-secret-goes-here\n"client_secret": "<client secret>",\n',
    "Azure in a program": "f(client_secret=oauth2_settings.client_secret_of_application)\n",
    "public key of WireGuard": f"[Peer]\nPublicKey = {WG}\n#PresharedKey =\nPrivateKey = <key>\n",
    "a program that reads keys": "if text.startswith('-----BEGIN RSA PRIVATE KEY-----'):\n    return load()\n",
    "a program that writes keys": 'f"-----BEGIN PRIVATE KEY-----\\n{base64}\\n-----END PRIVATE KEY-----\\n"',
    "a key left out": "-----BEGIN PRIVATE KEY-----\nMIIEvQ...\n-----END PRIVATE KEY-----\n",
    "a certificate in a kubeconfig": "certificate-authority-data: "
    + base64.b64encode(b"-----BEGIN CERTIFICATE-----\n" + b"M" * 64).decode(),
    "a public key in base64": base64.b64encode(b"-----BEGIN PUBLIC KEY-----\n" + b"M" * 64).decode(),
    "a key on a card": "(20:shadowed-private-key(3:rsa(1:n5:abcde)(8:shadowed5:t1-v1",
    "an expression of a program": "gcry_sexp_build(&key, NULL, \"(private-key (rsa (n %m)(e %m)(d %m)))\")",
    "a public key of PuTTY": "---- BEGIN SSH2 PUBLIC KEY ----\nComment: \"x\"\n" + "AAAAB3NzaC1yc2EA" * 4 + "\n",
    "hashes of files": "$argon2id$v=19$m=65536,t=3,p=4$salt$hash\n{SSHA}hash\n" + "0f" * 32 + "  file\n",
}  # fmt: skip
HARMLESS_BINARIES = {
    "public key of PGP": "988d046b0b78d7010400b8885fcb770d802ad51fb8d96c0452c72b5b9c463cbcb8e08b3057f809",
    "certificates of Java": "feedfeed000000020000000100000002000174000001a224da2a7b0005582e353039000001bb30",
    "no certificates of Java": "feedfeed0000000200000000" + "0f" * 20,
    "static library": b"!<arch>\n".hex() + PEM.encode().hex(),
    "signed message": "308206a906092a864886f70d010702a082069a30820696020101",
}


@pytest.mark.parametrize("name", [*TEXTS, *BINARIES])
def test_each_sample_is_found(tmp_path: Path, name: str) -> None:
    text, what = TEXTS[name] if name in TEXTS else BINARIES[name]
    (tmp_path / "file").write_bytes(text.encode() if name in TEXTS else bytes.fromhex(text))
    assert find_secrets(tmp_path, {}) == [Secret("/file", what)]


@pytest.mark.parametrize("name", TEXTS)
def test_a_sample_is_found_below_others_and_in_the_files_of_other_systems(tmp_path: Path, name: str) -> None:
    text, what = TEXTS[name]
    (tmp_path / "below").write_text("# A file.\n\n" * 500 + text)
    (tmp_path / "other").write_bytes(text.encode().replace(b"\n", b"\r\n"))
    assert find_secrets(tmp_path, {}) == [Secret("/below", what), Secret("/other", what)]


@pytest.mark.parametrize("name", [*HARMLESS, *HARMLESS_BINARIES])
def test_what_only_looks_like_a_secret_is_none(tmp_path: Path, name: str) -> None:
    data = HARMLESS[name].encode() if name in HARMLESS else bytes.fromhex(HARMLESS_BINARIES[name])
    (tmp_path / "file").write_bytes(data)
    assert find_secrets(tmp_path, {}) == []


@pytest.mark.parametrize("name", PLACED)
def test_what_the_name_of_its_file_tells_is_found(tmp_path: Path, name: str) -> None:
    path, text = PLACED[name]
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert find_secrets(tmp_path, {}) == [Secret(f"/{path}", PASSWORD)]


@pytest.mark.parametrize("name", NOT_PLACED)
def test_what_such_a_file_has_besides_is_none(tmp_path: Path, name: str) -> None:
    path, text = NOT_PLACED[name]
    (tmp_path / path).parent.mkdir(parents=True)
    (tmp_path / path).write_text(text)
    assert find_secrets(tmp_path, {}) == []


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("name", ["passwd", "cifs", "a URL", "netplan", "borg, quotes", "arguments of curl"])
def test_settings_in_utf_16_are_found(tmp_path: Path, name: str, encoding: str) -> None:
    text, what = TEXTS[name]
    (tmp_path / "file").write_bytes(f"# A file.\r\n{text}".encode(encoding))
    assert find_secrets(tmp_path, {}) == [Secret("/file", what)]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_harmless_files_in_utf_16_stay_so(tmp_path: Path, encoding: str) -> None:
    for number, text in enumerate(HARMLESS.values()):
        (tmp_path / str(number)).write_bytes(text.encode(encoding))
    assert find_secrets(tmp_path, {}) == []


@pytest.fixture
def keys(tmp_path: Path) -> Path:
    """A folder with a key and its certificate, and an empty one beside it for what is made of them."""
    run = partial(subprocess.run, check=True, capture_output=True, cwd=tmp_path)
    (tmp_path / "tree").mkdir()
    run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-out", "key"])
    run(["openssl", "req", "-x509", "-key", "key", "-subj", "/CN=x", "-out", "certificate"])
    return tmp_path


@pytest.mark.parametrize(
    "command",
    [
        "openssl pkcs8 -topk8 -in key -outform DER -passout pass:x -out tree/made",
        "openssl pkcs8 -topk8 -v1 PBE-SHA1-3DES -in key -outform DER -passout pass:x -out tree/made",
        "openssl pkcs12 -export -inkey key -in certificate -passout pass:x -out tree/made",
        "openssl pkcs12 -export -inkey key -in certificate -certpbe NONE -keypbe NONE -passout pass: -out tree/made",
        "openssl ec -in key -aes256 -passout pass:x -out tree/made",
        "ssh-keygen -q -t ed25519 -N passphrase -f tree/made",
        "ssh-keygen -q -t rsa -b 1024 -m PEM -N passphrase -f tree/made",
        "ssh-keygen -q -t ecdsa -m PKCS8 -N passphrase -f tree/made",
    ],
)
def test_keys_that_the_tools_make_are_found(keys: Path, command: str) -> None:
    subprocess.run(command.split(), check=True, capture_output=True, cwd=keys)
    assert find_secrets(keys / "tree", {}) == [Secret("/made", "a private key")]


def test_certificates_and_public_keys_that_the_tools_make_are_none(keys: Path) -> None:
    for command in (
        "openssl pkcs12 -export -nokeys -in certificate -certpbe NONE -passout pass: -out tree/pkcs12",
        "openssl x509 -in certificate -outform DER -out tree/certificate.der",
        "openssl x509 -in certificate -text -out tree/certificate.pem",
        "openssl pkey -in key -pubout -outform DER -out tree/public.der",
        "openssl pkey -in key -pubout -out tree/public.pem",
        "openssl req -new -key key -subj /CN=x -outform DER -out tree/request.der",
        "openssl crl2pkcs7 -nocrl -certfile certificate -outform DER -out tree/certificates.p7",
    ):
        subprocess.run(command.split(), check=True, capture_output=True, cwd=keys)
    assert find_secrets(keys / "tree", {}) == []


def test_byte_code_of_the_standard_library_is_no_alarm_even_where_nobody_calls_it_a_library(tmp_path: Path) -> None:
    library = Path(sysconfig.get_path("stdlib"))
    for name in ("netrc", "ssl", "hmac", "hashlib", "smtplib", "configparser", "urllib/parse", "uuid"):
        source = library / f"{name}.py"
        (tmp_path / source.name).write_bytes(source.read_bytes())
        py_compile.compile(str(source), str(tmp_path / f"{source.stem}.pyc"))
    assert find_secrets(tmp_path, {}) == []


@pytest.mark.slow
@pytest.mark.parametrize(
    "text",
    [
        "-----BEGIN PRIVATE KEY-----" + " " * 100_000,
        "-----BEGIN PRIVATE KEY-----\n" + "a: " * 25_000,
        "network={" * 500 + "x" * 100_000,
        "[wifi-security]\n" + "x\n" * 100_000,
        "[wifi-security]\n" * 10_000,
        "PuTTY-User-Key-File-2: x\n" + "\n" * 100_000,
        "machine x" + " login x" * 25_000 + "\n" * 25_000,
        "$y$" * 25_000 + "a" * 25_000,
        "(password=" * 10_000 + " x y",
        "(password=f(" * 10_000,
        "(password=${" * 10_000,
        "(password=no-" * 10_000 + " x y",
        "(password " * 10_000,
        "password" + " " * 100_000 + "x",
        '"password" : "' * 10_000,
        "(PASS: /a/b" * 10_000,
        "(token=1a2b3c4d5e6f7g8h" * 10_000 + " x",
        "(token=abcdefgh" * 10_000,
        "sig=" + "A" * 100_000,
        "sig=A" * 10_000,
        '"kty" "d" : "x' * 10_000,
        "psk x#" * 10_000,
        "BEGIN A" * 25_000,
        "user=x," * 10_000,
        "pass=abcd," * 10_000,
        "://a:b" * 10_000,
        "root:1:a:b:c" * 10_000,
        "chpasswd:\n" * 10_000 + " x\n" * 10_000,
        '<password=" ' * 10_000,
        "username=\n" * 10_000,
        "SetCredential=x" * 10_000,
        "secret " * 10_000,
        "com2sec x\n" * 10_000,
        "mysql -p " * 10_000,
        "mysql " * 10_000 + "\n",
        "curl -u a: " * 10_000,
        "curl " * 10_000,
        "login=x," * 10_000,
        "login=x,pass" * 10_000,
        "user a pass " * 10_000,
        "\nuser a pass" * 10_000,
        "<auth-user-pass>\n" * 10_000,
        "\n[x]:1 a" * 10_000,
        "$7$101$" + "a" * 100_000,
        "mysql-" * 10_000,
        "sshpass -p $A " * 10_000,
        "smbclient -U a" * 10_000,
        "echo -n a" * 10_000 + "|",
        "echo a:bc | " * 10_000,
        "--a-pass= " * 10_000,
        "--token=" + "a" * 100_000,
        "ldapsearch " * 10_000,
        " A_PASS=a(" * 10_000,
        " X_PASSWORD=a" * 10_000,
        "\nuser a b" * 10_000,
        "\nuser a " + "b " * 100_000,
        "cache_peer x login=" * 10_000,
        "'password' => $" * 10_000,
        "$pass_" * 10_000,
        "eyJhbGciOi" + "a" * 100_000,
        "(api_key=abcdefgh" * 10_000,
    ],
)
def test_a_file_that_almost_has_one_takes_no_longer_than_others(tmp_path: Path, text: str) -> None:
    (tmp_path / "file").write_text(text)
    (tmp_path / "wide").write_bytes(text[:25_000].encode("utf-16"))
    start = time.process_time()
    assert find_secrets(tmp_path, {}) == []
    assert time.process_time() - start < 1
