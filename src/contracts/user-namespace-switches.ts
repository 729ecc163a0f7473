/** How distributions forbid unprivileged user namespaces; each has its own way out. Read by the jail and by `berth doctor`. */

export interface UserNamespaceSwitch {
  readonly file: string;
  /** The content with which it forbids them; where the file is missing, it forbids nothing. */
  readonly forbids: string;
  readonly wayOut: string;
}

export const userNamespaceSwitches: readonly UserNamespaceSwitch[] = [
  {
    file: '/proc/sys/kernel/apparmor_restrict_unprivileged_userns',
    forbids: '1',
    wayOut:
      'AppArmor forbids unprivileged user namespaces (Ubuntu 24.04); allow them: sysctl kernel.apparmor_restrict_unprivileged_userns=0',
  },
  {
    file: '/proc/sys/kernel/unprivileged_userns_clone',
    forbids: '0',
    wayOut: 'unprivileged user namespaces are off; allow them: sysctl kernel.unprivileged_userns_clone=1',
  },
  {
    file: '/proc/sys/user/max_user_namespaces',
    forbids: '0',
    wayOut: 'user namespaces are off; allow them: sysctl user.max_user_namespaces=10000',
  },
];
